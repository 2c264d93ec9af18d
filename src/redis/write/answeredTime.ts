/**
 * Time as leases know it in one partition: it passes with heartbeats that are answered. While Redis is away for this
 * replica it stands still, as the leases themselves do where nobody beats: what then did not happen in time says nothing.
 */
export class AnsweredTime {
  private passed = 0
  private answeredAt = performance.now()

  /** A heartbeat was answered; so often do all beat, in ms. */
  answered(heartbeat: number): void {
    this.passed = this.silence > 2 * heartbeat ? this.now(heartbeat) : this.passed + this.silence
    this.answeredAt = performance.now()
  }

  /** Milliseconds; it never goes back. Of a silence it counts a heartbeat, until the next answer. */
  now(heartbeat: number): number {
    return this.passed + Math.min(this.silence, heartbeat)
  }

  private get silence(): number {
    return performance.now() - this.answeredAt
  }
}
