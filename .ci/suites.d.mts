/** Path of what runs once, and why. */
export const once: Record<string, string>
export function files(): string[]
export function onBoth(): string[]
