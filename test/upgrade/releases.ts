/**
 * The release before this one: packed once from its commit, and kept beside the dependencies.
 *
 * It runs on the dependencies of this work tree, whose versions its own ranges allow.
 */
import { execFile, execFileSync } from "node:child_process"
import { existsSync, mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync, symlinkSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { promisify } from "node:util"

/** Each release is tested against the one before: when this one is published, it stands here. */
export const PREVIOUS = { version: "0.1.0", commit: "5822c41adb1c2742dbf0174dc3d577599e942c48" }

const root = fileURLToPath(new URL("../..", import.meta.url))
const run = promisify(execFile)

/** Why it cannot be had here, or `undefined`. */
export const whyMissing = (): string | undefined => {
  try {
    execFileSync("git", ["cat-file", "-e", `${PREVIOUS.commit}^{commit}`], { cwd: root, stdio: "ignore" })
    return undefined
  } catch {
    return `this work tree has no history back to release ${PREVIOUS.version} (${PREVIOUS.commit.slice(0, 7)}): clone it whole, or git fetch --unshallow`
  }
}

/** The folder of what was built, as `dist` of this one. */
export const unpack = async (): Promise<string> => {
  const cache = join(root, "node_modules/.cache/effect-presence")
  const home = join(cache, `release-${PREVIOUS.version}-${PREVIOUS.commit.slice(0, 7)}`)
  const dist = join(home, "package/dist")
  if (existsSync(dist)) return dist
  const work = mkdtempSync(join(tmpdir(), "presence-release-"))
  try {
    await run("git", ["archive", "--output", join(work, "source.tar"), PREVIOUS.commit], { cwd: root })
    const copy = join(work, "copy")
    mkdirSync(copy)
    await run("tar", ["-xf", join(work, "source.tar"), "-C", copy])
    symlinkSync(join(root, "node_modules"), join(copy, "node_modules"))
    await run("npm", ["pack", "--pack-destination", work], { cwd: copy })
    const tarball = readdirSync(work).find((name) => name.endsWith(".tgz")) ?? ""
    mkdirSync(cache, { recursive: true })
    // Whole, or not at all: another run may be at it too.
    const unpacked = mkdtempSync(join(cache, "unpacking-"))
    await run("tar", ["-xzf", join(work, tarball), "-C", unpacked])
    try {
      renameSync(unpacked, home)
    } catch (cause) {
      rmSync(unpacked, { recursive: true, force: true })
      if (!existsSync(dist)) throw cause
    }
  } finally {
    rmSync(work, { recursive: true, force: true })
  }
  return dist
}
