/**
 * The release before this one: built once from its commit, and kept beside the dependencies.
 *
 * It runs on the dependencies of this work tree, whose versions its own ranges allow.
 */
import { execFile, execFileSync } from "node:child_process"
import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync } from "node:fs"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { promisify } from "node:util"
import { build } from "esbuild"

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

/** The folder of what was built, as `dist` of this one: each module by itself, where it was, and what modules read. */
export const built = async (): Promise<string> => {
  const cache = join(root, "node_modules/.cache/effect-presence")
  const home = join(cache, `${PREVIOUS.version}-${PREVIOUS.commit.slice(0, 7)}`)
  if (existsSync(home)) return join(home, "dist")
  mkdirSync(cache, { recursive: true })
  // Whole, or not at all: another run may be at it too.
  const work = mkdtempSync(join(cache, "building-"))
  try {
    await run("git", ["archive", "--output", join(work, "source.tar"), PREVIOUS.commit, "src", "package.json"], {
      cwd: root
    })
    await run("tar", ["-xf", join(work, "source.tar"), "-C", work])
    const source = join(work, "src")
    const isModule = (file: string): boolean => file.endsWith(".ts")
    const modules = readdirSync(source, { recursive: true, encoding: "utf8" }).filter(isModule)
    await build({
      entryPoints: modules.map((file) => join(source, file)),
      outdir: join(work, "dist"),
      format: "esm",
      target: "node20",
      logLevel: "error"
    })
    cpSync(source, join(work, "dist"), { recursive: true, filter: (file) => !isModule(file) })
    renameSync(work, home)
  } catch (cause) {
    rmSync(work, { recursive: true, force: true })
    if (!existsSync(home)) throw cause
  }
  return join(home, "dist")
}
