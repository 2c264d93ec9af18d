/**
 * Checks that what the documentation says compiles, and does what it says.
 *
 * Every ```ts block of README.md, of the pages in docs and of the doc comments in src is a whole program. All are
 * compiled against the built package under its own name, as a reader would. A block of a page that says in a comment
 * what it prints is also run, and must print that, as text or as a value. The comment stands behind the `console.log`,
 * or on the next line:
 *
 *     Effect.runPromise(program).then(console.log) // { keys: 1, connections: 1 }
 *
 * A link of a page leads to a file and a heading that are there, and so does a path between backticks. A test that is
 * named without its room, as a table does whose head says the room, is in one.
 */
import { spawnSync } from "node:child_process"
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { basename, dirname, join } from "node:path"
import { isDeepStrictEqual } from "node:util"
import { runInNewContext } from "node:vm"

const root = join(import.meta.dirname, "..")
const out = join(root, "build", "docs")

/** The ```ts blocks of a text, each with the line it begins at. In doc comments the ` * ` before each line is dropped. */
const blocksOf = (file) => {
  const text = readFileSync(join(root, file), "utf8")
  const lines = text.split("\n").map((line) => (file.endsWith(".md") ? line : line.replace(/^\s*\*( |$)/, "")))
  const blocks = []
  let open
  lines.forEach((line, i) => {
    if (open === undefined && /^```(ts|typescript)\b/.test(line)) open = { file, line: i + 1, code: [] }
    else if (open !== undefined && /^```\s*$/.test(line)) {
      blocks.push({ ...open, code: `${open.code.join("\n")}\n` })
      open = undefined
    } else open?.code.push(line)
  })
  if (open !== undefined) throw new Error(`${file}:${open.line} is never closed`)
  return blocks
}

const sources = readdirSync(join(root, "src"), { recursive: true })
  .filter((file) => file.endsWith(".ts"))
  .map((file) => join("src", file))
  .sort()

const pages = readdirSync(join(root, "docs"), { recursive: true })
  .filter((file) => file.endsWith(".md"))
  .map((file) => join("docs", file))
  .sort()

const tests = readdirSync(join(root, "test"), { recursive: true })
  .filter((file) => file.endsWith(".test.ts"))
  .map((file) => join("test", file))

/** The path of a test below `test/redis`, `test/socket` and the like. */
const inRoom = (file) => file.split("/").slice(2).join("/")

/** A heading as it is linked to. */
const anchors = (file) =>
  [...readFileSync(join(root, file), "utf8").matchAll(/^#+ (.+)$/gm)].map(([, heading]) =>
    heading
      .toLowerCase()
      .replace(/[^\p{L}\p{N} _-]/gu, "")
      .replaceAll(" ", "-")
  )

/** What a page leads to and is not there. */
const lost = (page) => {
  const text = readFileSync(join(root, page), "utf8")
  const links = [...text.matchAll(/\]\((?!\w+:)([^)#]*)(?:#([^)]*))?\)/g)].flatMap(([, path, anchor]) => {
    const file = path === "" ? page : join(dirname(page), path)
    if (!existsSync(join(root, file))) return [path]
    return anchor === undefined || anchors(file).includes(anchor) ? [] : [`${path}#${anchor}`]
  })
  const paths = [...text.matchAll(/`((?:test|src|docs|examples|bench|scripts)\/[\w./-]+)`/g)].map(([, path]) => path)
  const named = [...text.matchAll(/`([\w./-]+\.test\.ts)`/g)].map(([, name]) => name)
  const lostTests = named.filter((name) => !tests.some((file) => [file, inRoom(file)].includes(name)))
  return [...links, ...lostTests, ...paths.filter((path) => !existsSync(join(root, path)))].map(
    (what) => `${page} leads to ${what}`
  )
}

/** What a block says that it prints, line by line. */
const expected = (block) =>
  [...block.code.matchAll(/console\.log\b[^\n]*?\)[ ]*\n?\/\/ (.+)$/gm)].map(([, text]) => text)

/** Loaded before a block, so that each thing that it prints comes as one line, as text. */
const preload = `import { format } from "node:util"
console.log = (...values) => process.stdout.write("printed " + JSON.stringify(format(...values)) + "\\n")`

const compile = (blocks) => {
  const compilerOptions = {
    noEmit: false,
    incremental: false,
    tsBuildInfoFile: null,
    moduleDetection: "force",
    paths: {},
    rootDir: ".",
    outDir: "js",
    noUnusedLocals: false,
    // Only types go: what runs is what is there to be copied, also into plain JavaScript.
    target: "ESNext",
    types: ["node"]
  }
  const config = { extends: "../../tsconfig.json", compilerOptions, include: ["*.ts"] }
  writeFileSync(join(out, "tsconfig.json"), JSON.stringify(config))
  const { status, stdout } = spawnSync("npx", ["tsc", "-p", out, "--pretty", "false"], { cwd: out, encoding: "utf8" })
  const named = blocks.reduce(
    (text, { name, file, line }) =>
      text.replace(new RegExp(`^${name}\\.ts\\((\\d+)`, "gm"), (_, at) => `${file}(${line + Number(at)}`),
    stdout
  )
  if (status !== 0) throw new Error(named)
}

const execute = (block) => {
  const args = ["--import", `data:text/javascript,${encodeURIComponent(preload)}`, join(out, "js", `${block.name}.js`)]
  const { status, stdout, stderr } = spawnSync("node", args, { cwd: root, encoding: "utf8", timeout: 300_000 })
  const printed = [...stdout.matchAll(/^printed (.*)$/gm)].map(([, text]) => JSON.parse(text))
  if (
    status !== 0 ||
    printed.length !== block.expected.length ||
    !block.expected.every((text, i) => says(text, printed[i]))
  ) {
    throw new Error(
      `${block.file}:${block.line} printed\n  ${printed.join("\n  ")}\nand says\n  ${block.expected.join("\n  ")}\n${stderr}`
    )
  }
}

/** Whether a comment is the text that was printed, or, both read as JavaScript, its value. Node prints what is nested deep as `[Object]`. */
const says = (text, printed) => {
  if (printed === text) return true
  try {
    return isDeepStrictEqual(valueOf(text), valueOf(printed))
  } catch {
    return false
  }
}

const valueOf = (text) => JSON.parse(JSON.stringify(runInNewContext(`(${text})`)))

try {
  if (!existsSync(join(root, "dist", "index.d.ts"))) throw new Error("dist is missing: run npm run build first")
  rmSync(out, { recursive: true, force: true })
  mkdirSync(out, { recursive: true })
  const texts = ["README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md", ...pages]
  const nowhere = texts.flatMap(lost)
  if (nowhere.length > 0) throw new Error(`${nowhere.join(", which is not there\n")}, which is not there`)
  const blocks = ["README.md", ...pages, ...sources].flatMap(blocksOf).map((block) => {
    const name = `${basename(block.file).replace(/\W/g, "_")}_${block.line}`
    return { ...block, name, expected: block.file.endsWith(".md") ? expected(block) : [] }
  })
  if (!blocks.some(({ file }) => file === "README.md")) throw new Error("README.md has no ts block")
  for (const { name, code } of blocks) writeFileSync(join(out, `${name}.ts`), code)
  compile(blocks)
  const programs = blocks.filter((block) => block.expected.length > 0)
  for (const block of programs) execute(block)
  console.log(`${blocks.length} blocks compile; ${programs.length} were run and print what they say`)
} catch (error) {
  console.error(error.message)
  process.exitCode = 1
}
