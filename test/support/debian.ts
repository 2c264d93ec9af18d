/**
 * Programs that suites start for themselves: on the path, else, for root on Debian, installed once.
 */
import { execFileSync } from "node:child_process"
import { existsSync } from "node:fs"
import { delimiter, join } from "node:path"

/** Where a program is. When it is not here, Debian's package of that name is installed. */
export const program = (name: string): string | undefined => onPath(name) ?? (install(name) ? onPath(name) : undefined)

/** Whether a program is here, or can be installed when it is asked for. */
export const isWithinReach = (name: string): boolean => onPath(name) !== undefined || mayInstall()

/** Where a program is, if it is here. */
export const onPath = (name: string): string | undefined =>
  (process.env.PATH ?? "")
    .split(delimiter)
    .map((folder) => join(folder, name))
    .find((file) => existsSync(file))

const mayInstall = (): boolean => process.getuid?.() === 0 && existsSync("/usr/bin/apt-get")

/** Whether Debian's package is here now. */
const install = (name: string): boolean => {
  if (!mayInstall()) return false
  console.warn(`installing Debian's ${name}, once`)
  // Two suites may be at it at once: the second waits for the first.
  const apt = (...args: ReadonlyArray<string>) =>
    execFileSync("apt-get", ["-qq", "-o", "DPkg::Lock::Timeout=300", ...args], {
      stdio: ["ignore", "ignore", "inherit"],
      env: { ...process.env, DEBIAN_FRONTEND: "noninteractive" }
    })
  try {
    apt("update")
    apt("install", "--yes", "--no-install-recommends", name)
    return true
  } catch {
    return false
  }
}
