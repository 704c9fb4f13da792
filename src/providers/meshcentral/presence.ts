/** Part of the grace that a clock read on the other side of a network may be off by, at most 2 s. */
const tolerance = (graceMs: number) => Math.min(2000, graceMs / 2)

/**
 * Decides when a device without a connection may be called offline. After a server restart every agent is away for
 * a moment, and so is one that changes networks; neither is worth an alarm. Online is believed at once.
 * One per server and process: it outlives the clients, which may be opened for one run only.
 */
export class Presence {
  readonly graceMs: number
  private readonly online = new Set<string>()
  private lost = false
  private unsettledUntil = 0
  private beganAt: number | null = null
  private untold = false

  constructor(graceMs: number) {
    this.graceMs = graceMs
  }

  /** The server went away, or could not be reached. */
  disconnected(): void {
    this.lost = true
  }

  /** A session is there; returns the time until which missing connections prove nothing, or null. */
  connected(now: number): number | null {
    this.beganAt ??= now
    if (this.lost) this.unsettledUntil = now + this.graceMs
    this.lost = false
    return this.unsettledUntil > now ? this.unsettledUntil : null
  }

  /**
   * When the first grace of this process ends, null where it has: a server that was restarted before looks like one
   * whose devices are all away.
   */
  firstGraceEnds(now: number): number | null {
    const ends = this.beganAt === null ? 0 : this.beganAt + this.graceMs
    return now < ends ? ends : null
  }

  /** A list did not say of everybody whether they are away. */
  leaveOpen(): void {
    this.untold = true
  }

  /** Whether one did since this was last asked. */
  takeOpen(): boolean {
    const was = this.untold
    this.untold = false
    return was
  }

  wasOnline(id: string): boolean {
    return this.online.has(id)
  }

  anyOnline(): boolean {
    return this.online.size > 0
  }

  forget(id: string): void {
    this.online.delete(id)
  }

  /**
   * True: connected. False: away for longer than the grace. Null: not to be told yet.
   * @param lastChange when it last connected or disconnected, in ms of the server's clock, where known
   * @param now in ms of our clock
   * @param skewMs the server's clock minus ours
   */
  judge(id: string, connected: boolean, lastChange: number | null, now: number, skewMs: number): boolean | null {
    if (connected) {
      this.online.add(id)
      return true
    }
    if (now < this.unsettledUntil) return null
    if (lastChange !== null && now + skewMs - lastChange < this.graceMs - tolerance(this.graceMs)) return null
    this.online.delete(id)
    return false
  }
}
