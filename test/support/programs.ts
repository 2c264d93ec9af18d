/**
 * Before all tests: which programs this machine has. What needs one that is out of reach is skipped, and one line after
 * the tests says so and how to get it. In CI nothing is skipped for want of a program: the run fails instead.
 */
import { isWithinReach } from "./debian.js"

interface Needed {
  /** Of Debian's package, and what is run. */
  readonly name: string
  /** The variable that may name where it is. */
  readonly named: string
  /** The variable that is `off` where suites that need it are skipped. */
  readonly off: string
  readonly skipped: string
}

const needed: ReadonlyArray<Needed> = [
  { name: "redis-server", named: "REDIS_SERVER", off: "REDIS", skipped: "what needs a real Redis" },
  { name: "chromium", named: "CHROMIUM", off: "BROWSER", skipped: "what looks at pages" },
  { name: "nginx", named: "NGINX_SERVER", off: "NGINX", skipped: "what stands behind nginx" },
  { name: "haproxy", named: "HAPROXY_SERVER", off: "HAPROXY", skipped: "what stands behind HAProxy" }
]

const isOff = ({ off }: Needed): boolean => process.env[off] === "off"
const isHere = ({ name, named }: Needed): boolean => (process.env[named] ?? "") !== "" || isWithinReach(name)

/** How to get programs: as root on Debian tests install them, when they are not told to go without. */
const howTo = (programs: ReadonlyArray<Needed>): string =>
  `install ${programs.map(({ name }) => name).join(" and ")} (apt-get install ${programs.map(({ name }) => name).join(" ")}), ` +
  `or say where with ${programs.map(({ named }) => `${named}=/path/to/it`).join(" and ")}`

/** Of vitest's global setup. What it returns is run after all tests. */
export const setup = (): (() => void) => {
  const chosen = needed.filter(isOff)
  const missing = needed.filter((program) => !isOff(program) && !isHere(program))
  if (missing.length > 0 && process.env.CI !== undefined) {
    throw new Error(
      `in CI all tests run, and ${missing.map(({ name }) => name).join(" and ")} cannot be found: ${howTo(missing)}`
    )
  }
  // The processes of the tests start with this environment.
  for (const { off } of missing) process.env[off] = "off"
  const skipped = [...chosen, ...missing].map(({ skipped }) => skipped).join(" and ")
  const reasons = [
    ...(missing.length > 0 ? [howTo(missing)] : []),
    ...(chosen.length > 0 ? [`unset ${chosen.map(({ off }) => `${off}=off`).join(" and ")}`] : [])
  ]
  return () => {
    if (skipped !== "") console.warn(`\nSKIPPED: ${skipped}. To run it, ${reasons.join("; ")}\n`)
  }
}
