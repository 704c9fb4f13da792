/// <reference lib="dom" />

/** The settings page as an element: `import 'fastify-rmm-sync/ui'` defines `<rmm-settings>`. */
export interface RmmSettingsElement extends HTMLElement {
  /**
   * Sent as `Authorization: Bearer …` with every request; a function is asked each time. Without one, cookies have to
   * do.
   */
  token: string | (() => string | null | Promise<string | null>) | null
  /** Texts that replace the English ones, by their key in `src/ui/strings.ts`. */
  strings: Record<string, string>
}

declare global {
  interface HTMLElementTagNameMap {
    'rmm-settings': RmmSettingsElement
  }
}
