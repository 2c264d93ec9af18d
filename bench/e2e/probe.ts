/** Imported into every server before anything else: answers its parent what the process has used. */
import { monitorEventLoopDelay } from "node:perf_hooks"
import { collectGarbage } from "../harness.js"

/** What a server has used up to now. */
export interface Usage {
  /** Microseconds of processor, all threads, user and system, when it was asked. */
  readonly cpu: number
  /** The same when it answers: what the answer cost is nobody's. */
  readonly cpuAfter: number
  /** Bytes of live heap. */
  readonly heap: number
  /** Bytes. */
  readonly rss: number
  /** The longest that the event loop was held up since the last answer, in ms. */
  readonly longest: number
  /** How long at most it was held up in 99 of 100 looks since the last answer, in ms. */
  readonly p99: number
}

const delay = monitorEventLoopDelay({ resolution: 5 })
delay.enable()

const processor = (): number => {
  const { user, system } = process.cpuUsage()
  return user + system
}

process.on("message", () => {
  const [cpu, longest, p99] = [processor(), delay.max / 1e6, delay.percentile(99) / 1e6]
  collectGarbage()
  const { heapUsed: heap, rss } = process.memoryUsage()
  // Only then is the collection no turn that was held up any more.
  setTimeout(() => {
    delay.reset()
    const usage: Usage = { cpu, cpuAfter: processor(), heap, rss, longest, p99 }
    process.send?.(usage)
  }, 50)
})

// A server that nobody asks any more may end, and one whose parent is gone does.
process.on("disconnect", () => process.exit())
process.channel?.unref()
