/**
 * The order of the files: those that take longest begin first, so that none of them is left over when all others are
 * done. The runner knows how long each took only where it has run before, and otherwise begins with the largest.
 */
import { BaseSequencer, type TestSpecification } from "vitest/node"

/** What waits for leases of real replicas, and for pages; the longest first. */
const LONGEST = [
  "redis/replicas",
  "redis/outages",
  "redis/failover",
  "redis/schedules",
  "server/page",
  "server/pageLooks",
  "simulation/simulation",
  "soak/soak",
  "socket/longPoll",
  "attack/attack",
  "react/react",
  "server/bin",
  "server/replicas"
]

const place = ({ moduleId }: TestSpecification): number => {
  const found = LONGEST.findIndex((name) => moduleId.endsWith(`/test/${name}.test.ts`))
  return found === -1 ? LONGEST.length : found
}

export class LongestFirst extends BaseSequencer {
  override async sort(files: Array<TestSpecification>): Promise<Array<TestSpecification>> {
    return (await super.sort(files)).sort((a, b) => place(a) - place(b))
  }
}
