/**
 * Checks the package as a stranger gets it.
 *
 * A copy of the work tree without `.git` is packed by `npm pack` alone, twice and from two folders, which must give the
 * same bytes. The tarball is installed in an empty project, first beside `effect` alone, which is all that the core needs,
 * then beside its other peers too. There every entry is imported, type-checked and traced to see what it loads, a
 * definition is gone to, links are followed, and the bin is run.
 * Replicas are run over a real redis-server with each major of ioredis (`REDIS_SERVER` names it, `REDIS=off` skips it).
 * All failures are printed; the exit code is 1 when there was one. The copy borrows this
 * directory's `node_modules`, which are those of `npm ci`. Everything is made in a temporary directory, which is removed.
 */
import { execFileSync, spawn, spawnSync } from "node:child_process"
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync
} from "node:fs"
import { createServer } from "node:net"
import { tmpdir } from "node:os"
import { dirname, join, relative } from "node:path"
import { checkPackage, createPackageFromTarballData } from "@arethetypeswrong/core"
import { build } from "esbuild"
import { publint } from "publint"
import { formatMessage } from "publint/utils"

/** What the files behind each entry may import, beside each other. Effect's own dependencies are Effect's affair. */
const mayImport = {
  ".": ["effect"],
  "./testing": ["effect"],
  "./state": [],
  "./client": ["phoenix"],
  "./react": ["react", "phoenix"],
  "./http": ["effect", "@effect/platform", "@effect/platform-node", "jose", "node:http", "node:net", "node:crypto"],
  "./socket": [
    "effect",
    "@effect/platform",
    "@effect/platform-node",
    "jose",
    "ws",
    "node:http",
    "node:net",
    "node:events",
    "node:crypto"
  ],
  "./node": ["effect", "jose", "node:http", "node:https", "node:crypto"],
  "./redis": ["effect", "ioredis", "node:fs", "node:crypto"],
  "./rpc": ["effect", "@effect/platform", "@effect/rpc"]
}

/** How large it may be, in bytes: as it is fetched, and on a disk. What grows beyond it was added by somebody who decides so. */
const mayWeigh = { packed: 800_000, unpacked: 3_200_000 }

/** It is ESM alone: who asks as CommonJS, or knows no `exports`, is not served, and is not looked at. */
const unserved = ["node10", "node16-cjs"]

/** The entries for which `effect` is enough. */
const CORE = [".", "./testing", "./redis", "./node", "./client"]

/** The entries for pages. */
const PAGE = ["./client", "./react", "./state"]

const root = join(import.meta.dirname, "..")
const work = mkdtempSync(join(tmpdir(), "effect-presence-"))
const copy = join(work, "copy")
const consumer = join(work, "consumer")
const manifest = JSON.parse(readFileSync(join(root, "package.json"), "utf8"))
const entries = Object.keys(manifest.exports).filter((entry) => entry === "." || /^\.\/\w+$/.test(entry))

let failures = 0
const check = async (name, body) => {
  try {
    await body()
    console.log(`ok    ${name}`)
  } catch (error) {
    failures++
    console.log(`FAIL  ${name}\n      ${String(error.message ?? error).replaceAll("\n", "\n      ")}`)
  }
}
const fail = (message) => {
  throw new Error(message)
}
const listed = (problem, names) => {
  if (names.length > 0) fail(`${problem}: ${names.join(", ")}`)
}

/** Runs a command to its end; its whole output is the error when it fails. */
const run = (command, args, cwd) => {
  const result = spawnSync(command, args, { cwd, encoding: "utf8", maxBuffer: 1 << 26 })
  if (result.error !== undefined) throw result.error
  if (result.status !== 0) {
    fail(`${command} ${args.join(" ")} ended with ${result.status ?? result.signal}\n${result.stdout}${result.stderr}`)
  }
  return result.stdout
}

const copySources = () => {
  const files = execFileSync("git", ["ls-files", "-z", "--cached", "--others", "--exclude-standard"], { cwd: root })
  for (const file of files.toString().split("\0")) {
    if (file === "" || !existsSync(join(root, file))) continue
    mkdirSync(dirname(join(copy, file)), { recursive: true })
    cpSync(join(root, file), join(copy, file))
  }
  symlinkSync(join(root, "node_modules"), join(copy, "node_modules"))
}

/** A tarball of a folder, in one of its own. Made also where npm is told to change nothing, as by `npm publish --dry-run`. */
const pack = (from, name) => {
  const folder = join(work, name)
  mkdirSync(folder)
  run("npm", ["pack", "--no-dry-run", "--pack-destination", folder], from)
  return join(folder, readdirSync(folder).find((file) => file.endsWith(".tgz")) ?? fail("npm pack made no tarball"))
}

/** From another folder, so that no path of a machine is in it. */
const checkBytes = (tarball) => {
  const elsewhere = join(work, "elsewhere")
  renameSync(copy, elsewhere)
  try {
    const [one, two] = [tarball, pack(elsewhere, "again")].map((file) => readFileSync(file))
    if (!one?.equals(two)) fail("npm pack made other bytes than before")
  } finally {
    renameSync(elsewhere, copy)
  }
}

/** The version that this repository is tested with. */
const exactly = (name) => `${name}@${manifest.devDependencies[name] ?? fail(`${name} is no devDependency`)}`
const peers = Object.keys(manifest.peerDependencies)
const isOptional = (name) => manifest.peerDependenciesMeta?.[name]?.optional === true

const add = (...packages) =>
  run("npm", ["install", "--no-audit", "--no-fund", "--prefer-offline", ...packages], consumer)

/** A project that uses the package as its documentation says, with the peers that are not optional. */
const install = (tarball) => {
  mkdirSync(consumer)
  writeFileSync(join(consumer, "package.json"), JSON.stringify({ name: "consumer", private: true, type: "module" }))
  add(
    tarball,
    ...peers
      .filter((name) => !isOptional(name))
      .concat("typescript", "@types/node")
      .map(exactly)
  )
}

const checkPeers = () => {
  listed(
    "missing in peerDependencies",
    ["effect", "@effect/platform", "@effect/platform-node"].filter((name) => !peers.includes(name))
  )
  const needed = peers.filter((name) => !isOptional(name))
  if (needed.join() !== "effect") fail(`the core needs effect alone, and here every program needs ${needed.join(", ")}`)
  if (manifest.dependencies?.effect) fail("effect is a dependency: two copies of it would not know each other's tags")
}

const installed = join(consumer, "node_modules", manifest.name)

/** What the core does beside `effect` alone, and what is said by what needs more. */
const checkAlone = () => {
  if (existsSync(join(consumer, "node_modules", "@effect")))
    fail("@effect/… was installed too, so this check sees nothing")
  const program = `
    import { createServer } from "node:http"
    import { allowAll, createPresence } from "${manifest.name}/node"
    const presence = await createPresence()
    const lease = await presence.track("post:42", "alice", { role: "viewer" })
    console.log(JSON.stringify(await presence.list("post:42")))
    await presence.attach(createServer(), { authorize: allowAll }).catch((error) => console.log(error.message))
    const answer = presence.fetch({ authorize: allowAll })(new Request("http://localhost/presence/room"))
    await answer.catch((error) => console.log(error.message))
    await presence.close()`
  writeFileSync(join(consumer, "alone.mjs"), program)
  const said = run("node", ["alone.mjs"], consumer)
  const server = spawnSync(bin, { cwd: consumer, encoding: "utf8", timeout: 30_000 })
  if (server.status !== 1) fail(`the ready server ended with ${server.status ?? server.signal}\n${server.stderr}`)
  const range = manifest.peerDependencies["@effect/platform-node"].replace(/^\^(\d+\.\d+).*/, "$1")
  const missing = `is not installed, and routes and the ready server need it: npm install @effect/platform-node@${range}`
  const lines = [...said.trim().split("\n"), server.stderr.trim()]
  const first = lines.shift()
  if (first !== `[{"key":"alice","metas":[{"role":"viewer"}]}]`) fail(said)
  if (lines.length !== 3 || !lines.every((line) => line.endsWith(missing)))
    fail(`${lines.join("\n")}\ninstead of\n${missing}`)
}

const listFiles = (tarball) =>
  run("tar", ["-tzf", tarball], work)
    .trim()
    .split("\n")
    .map((file) => file.replace(/^package\//, ""))

const checkContent = (files) => {
  const allowed =
    /^(package\.json|LICENSE|(docs\/)?[\w-]+\.md|src\/.+\.ts|dist\/.+\.(js|d\.ts|html|css)|dist\/.+\.map)$/
  listed(
    "not meant to be published",
    files.filter((file) => !allowed.test(file) || /\.test\.|\bbench\b/.test(file))
  )
  listed(
    "missing",
    ["README.md", "LICENSE", "dist/index.js", "dist/index.d.ts", "src/index.ts"].filter((file) => !files.includes(file))
  )
  const history = readFileSync(join(installed, "CHANGELOG.md"), "utf8")
  if (!history.includes(`\n## ${manifest.version}\n`)) fail(`CHANGELOG.md says nothing of ${manifest.version}`)
}

/** Prints what it weighs. */
const checkSize = (tarball, files) => {
  const bytesOf = (file) => readFileSync(file).length
  const weighs = {
    packed: bytesOf(tarball),
    unpacked: files.reduce((sum, file) => sum + bytesOf(join(installed, file)), 0)
  }
  for (const [what, bytes] of Object.entries(weighs)) {
    const text = `${what}: ${Math.ceil(bytes / 1_000)} kB of ${mayWeigh[what] / 1_000}`
    if (bytes > mayWeigh[what]) fail(`${text}: make it smaller, or mayWeigh in scripts/check-package.mjs larger`)
    console.log(`      ${text}`)
  }
}

/** Whatever a debugger or an editor is led to by a map is there. */
const checkMaps = (files) => {
  const compiled = files.filter((file) => /^dist\/.+\.(js|d\.ts)$/.test(file) && !/^dist\/server\/page\//.test(file))
  const lost = compiled.flatMap((file) => {
    const [, name] = /\n\/\/# sourceMappingURL=(.+)\s*$/.exec(readFileSync(join(installed, file), "utf8")) ?? []
    const map = name === undefined ? undefined : join(dirname(file), name)
    if (map === undefined || !files.includes(map)) return [`${file} has no map`]
    const { sourceRoot, sources } = JSON.parse(readFileSync(join(installed, map), "utf8"))
    return sources
      .map((source) => join(dirname(map), sourceRoot ?? "", source))
      .filter((source) => !files.includes(source))
      .map((source) => `${map} leads to ${source}`)
  })
  listed("maps", lost)
}

/** What README.md and the pages link to is there for who reads them in the package. */
const checkLinks = (files) => {
  const pages = files.filter((file) => file.endsWith(".md"))
  const lost = pages.flatMap((page) =>
    [...readFileSync(join(installed, page), "utf8").matchAll(/\]\((?!\w+:|#)([^)#]+)/g)]
      .map(([, path = ""]) => join(dirname(page), path))
      .filter((file) => !files.includes(file))
      .map((file) => `${page} leads to ${file}`)
  )
  listed("links", lost)
}

/** An editor that is asked where something is defined shows the source, not a declaration. Asked as editors do. */
const checkDefinitions = () => {
  const file = join(consumer, "definition.ts")
  writeFileSync(file, `import { PresenceLive } from "${manifest.name}"\nexport const layer = PresenceLive\n`)
  const compilerOptions = { module: "NodeNext", moduleResolution: "NodeNext", skipLibCheck: true, types: [] }
  writeFileSync(join(consumer, "tsconfig.json"), JSON.stringify({ compilerOptions, files: ["definition.ts"] }))
  const ask = (seq, command, args) => JSON.stringify({ seq, type: "request", command, arguments: { file, ...args } })
  const asked = [ask(1, "open"), ask(2, "definition", { line: 1, offset: 11 })]
  const { stdout } = spawnSync(
    "node",
    [join("node_modules", "typescript", "lib", "tsserver.js"), "--disableAutomaticTypingAcquisition"],
    {
      cwd: consumer,
      encoding: "utf8",
      input: `${asked.join("\n")}\n`
    }
  )
  const answers = stdout
    .split("\n")
    .filter((line) => line.startsWith("{"))
    .map((line) => JSON.parse(line))
  const [found] = answers.find(({ request_seq }) => request_seq === 2)?.body ?? []
  if (found === undefined) fail(`tsserver does not know PresenceLive\n${stdout}`)
  const where = relative(realpathSync(installed), found.file)
  if (where !== join("src", "Presence.ts")) fail(`PresenceLive is defined in ${where}`)
  const line = readFileSync(found.file, "utf8").split("\n")[found.start.line - 1]
  if (!line?.startsWith("export const PresenceLive")) fail(`the definition of PresenceLive is ${line}`)
}

const checkLint = async () => {
  const result = await publint({ pkgDir: installed, pack: false, strict: true })
  if (result.messages.length > 0) fail(result.messages.map((message) => formatMessage(message, result.pkg)).join("\n"))
}

const checkAttw = async (tarball) => {
  const { problems } = await checkPackage(createPackageFromTarballData(readFileSync(tarball)))
  listed(
    "problems",
    problems
      .filter((problem) => !unserved.includes(problem.resolutionKind))
      .map((problem) => `${problem.kind} ${problem.entrypoint ?? ""} ${problem.resolutionKind ?? ""}`)
  )
}

const specifier = (entry) => manifest.name + entry.slice(1)

/** Prints `importer <tab> imported` for each import that is resolved, from the thread that resolves them. */
const hook = `
import { writeSync } from "node:fs"
export const resolve = async (specifier, context, next) => {
  const resolved = await next(specifier, context)
  writeSync(1, (context.parentURL ?? "") + "\\t" + resolved.url + "\\n")
  return resolved
}`
const register = `import { register } from "node:module"
register("data:text/javascript," + encodeURIComponent(${JSON.stringify(hook)}))`

const packageOf = (url) => /.*\/node_modules\/((?:@[^/]+\/)?[^/]+)\//.exec(url)?.[1] ?? url

const checkImports = (entry) => {
  const allowed =
    mayImport[entry] ?? fail("an entry that scripts/check-package.mjs does not know: say there what it may import")
  writeFileSync(join(consumer, "register.mjs"), register)
  writeFileSync(
    join(consumer, "import.mjs"),
    `const module = await import(${JSON.stringify(specifier(entry))})\nif (Object.keys(module).length === 0) process.exit(1)`
  )
  const edges = run("node", ["--import", "./register.mjs", "import.mjs"], consumer)
    .split("\n")
    .map((line) => line.split("\t").map(packageOf))
  const imported = edges.flatMap(([importer, name]) =>
    importer === manifest.name && name !== manifest.name ? [name] : []
  )
  if (allowed.length > 0 && !imported.includes(allowed[0])) {
    fail(`it does not import ${allowed[0]}, so this check sees nothing`)
  }
  listed(
    "imports",
    [...new Set(imported)].filter((name) => !allowed.includes(name))
  )
}

const checkClosed = () => {
  for (const path of ["internal/presence.js", "internal/presence", "dist/index.js", "src/index.ts"]) {
    const program = `import(${JSON.stringify(`${manifest.name}/${path}`)}).then(() => "loaded", (e) => e.code).then(console.log)`
    const answer = run("node", ["-e", program], consumer).trim()
    if (answer !== "ERR_PACKAGE_PATH_NOT_EXPORTED") fail(`${path}: ${answer}`)
  }
}

const programOf = (entries) => `
import { Presence, PresenceLive, type PresenceEntry, type TrackError } from "${manifest.name}"
import { Effect, Schema } from "effect"
${entries.map((entry, i) => `import * as entry${i} from "${specifier(entry)}"`).join("\n")}
export const entries = [${entries.map((_, i) => `entry${i}`).join(", ")}]

const Meta = Schema.Struct({ role: Schema.String, since: Schema.DateFromString })

export const untyped: Effect.Effect<ReadonlyArray<PresenceEntry>, TrackError> = Effect.gen(function*() {
  const presence = yield* Presence
  const lease = yield* presence.track("post:42", "alice", { role: "viewer" }, { ttl: "10 seconds" })
  yield* lease.update({ role: "editor" })
  return yield* presence.list(lease.topic)
}).pipe(Effect.scoped, Effect.provide(PresenceLive))

export const typed = Effect.gen(function*() {
  const presence = (yield* Presence).forSchema(Meta)
  // @ts-expect-error the meta is typed
  yield* presence.track("post:42", "alice", { role: 1 })
  const entries = yield* presence.list("post:42")
  return entries.map((entry): Date | undefined => entry.metas[0]?.since)
})
`

/** What a page gets: nothing of Effect, and nothing of Node, which no bundler finds for a browser. */
const checkPage = async () => {
  const contents = PAGE.map((entry) => `export * from ${JSON.stringify(specifier(entry))}`).join("\n")
  const { metafile } = await build({
    stdin: { contents, resolveDir: consumer, sourcefile: "page.js" },
    absWorkingDir: consumer,
    bundle: true,
    format: "esm",
    write: false,
    metafile: true,
    logLevel: "silent"
  })
  const names = new Set(Object.keys(metafile.inputs).map((input) => packageOf(`/${input}`)))
  for (const name of ["/page.js", manifest.name, "phoenix", "react"]) {
    if (!names.delete(name)) fail(`${name} is not in it, so this check sees nothing`)
  }
  listed("brings", [...names])
}

/** Complaints inside the peers' own declarations are not ours to mend; any other fails. */
const checkTypes = (module, moduleResolution, known = entries) => {
  const compilerOptions = {
    ...{ module, moduleResolution, target: "ES2022", lib: ["ES2023"], types: ["node"], noEmit: true },
    ...{ strict: true, exactOptionalPropertyTypes: true, skipLibCheck: false }
  }
  writeFileSync(join(consumer, "program.ts"), programOf(known))
  writeFileSync(join(consumer, "tsconfig.json"), JSON.stringify({ compilerOptions, files: ["program.ts"] }))
  const { status, stdout } = spawnSync("node_modules/.bin/tsc", ["--pretty", "false"], {
    cwd: consumer,
    encoding: "utf8"
  })
  const ours = new RegExp(`^(?!node_modules/)|^node_modules/${manifest.name}/`)
  const complaints = stdout.split("\n").filter((line) => / error TS\d+/.test(line))
  const bad = complaints.filter((line) => ours.test(line))
  if (bad.length > 0 || (status !== 0 && complaints.length === 0)) fail(bad.length > 0 ? bad.join("\n") : stdout)
}

const bin = join(consumer, "node_modules", ".bin", manifest.name)

const checkHelp = () => {
  const help = run(bin, ["--help"], consumer)
  listed(
    "not in --help",
    ["HOST", "PORT", "PRESENCE_TTL", "PRESENCE_JWT_SECRET", "LOG_LEVEL"].filter((name) => !help.includes(name))
  )
}

const freePort = () =>
  new Promise((resolve, reject) => {
    const server = createServer()
    server.once("error", reject)
    server.listen(0, "127.0.0.1", () => {
      const { port } = server.address()
      server.close(() => resolve(port))
    })
  })

const checkServer = async () => {
  const port = await freePort()
  const server = spawn(bin, [], { cwd: consumer, env: { ...process.env, PORT: String(port) } })
  const ended = new Promise((resolve, reject) => {
    server.once("error", reject)
    server.once("exit", (code, signal) => resolve(code ?? signal))
  })
  const stop = setTimeout(() => server.kill("SIGKILL"), 30_000)
  try {
    let output = ""
    await new Promise((resolve, reject) => {
      const read = (chunk) => {
        output += chunk
        if (output.includes(`:${port}`)) resolve(undefined)
      }
      server.stdout.on("data", read)
      server.stderr.on("data", read)
      ended.then((code) => reject(new Error(`it ended with ${code} before it was ready\n${output}`)), reject)
    })
    const response = await fetch(`http://127.0.0.1:${port}/health`)
    const health = await response.json()
    if (response.status !== 200 || health.status !== "ok") fail(`/health: ${response.status} ${JSON.stringify(health)}`)
    server.kill("SIGTERM")
    const code = await ended
    if (code !== 0) fail(`after SIGTERM it ended with ${code}\n${output}`)
  } finally {
    clearTimeout(stop)
    server.kill("SIGKILL")
  }
}

/** Two replicas: what one tracks the other lists, and hears of when it leaves. */
const replicas = `
import { Presence } from "${manifest.name}"
import { PresenceRedis } from "${manifest.name}/redis"
import { Context, Effect, Layer } from "effect"

const replica = Effect.map(Layer.build(PresenceRedis.layer({ url: process.argv[2] })), Context.get(Presence))

await Effect.gen(function*() {
  const [a, b] = yield* Effect.all([replica, replica])
  const { take } = yield* b.subscribe("post:42")
  const listed = yield* Effect.scoped(Effect.gen(function*() {
    yield* a.track("post:42", "alice", { role: "viewer" })
    return [yield* take, yield* b.list("post:42")]
  }))
  console.log(JSON.stringify([...listed, yield* take]))
}).pipe(Effect.scoped, Effect.timeout("20 seconds"), Effect.runPromise)
`

const seen = JSON.stringify([
  [{ type: "join", key: "alice", meta: { role: "viewer" } }],
  [{ key: "alice", metas: [{ role: "viewer" }] }],
  [{ type: "leave", key: "alice" }]
])

/** Runs a body with the url of a redis-server that keeps nothing. */
const withRedis = async (body) => {
  const port = await freePort()
  const args = ["--port", String(port), "--bind", "127.0.0.1", "--save", "", "--dir", work]
  const server = spawn(process.env.REDIS_SERVER || "redis-server", args, { stdio: "ignore" })
  const ended = new Promise((resolve) => server.once("exit", resolve))
  try {
    await new Promise((resolve, reject) => {
      server.once("spawn", resolve)
      server.once("error", reject)
    })
    await body(`redis://127.0.0.1:${port}`)
  } finally {
    if (server.kill("SIGKILL")) await ended
  }
}

const checkReplicas = (major) =>
  withRedis((url) => {
    const { version } = JSON.parse(readFileSync(join(consumer, "node_modules", "ioredis", "package.json"), "utf8"))
    if (!version.startsWith(`${major}.`)) fail(`ioredis ${version} is installed`)
    writeFileSync(join(consumer, "replicas.mjs"), replicas)
    const told = run("node", ["replicas.mjs", url], consumer).trim()
    if (told !== seen) fail(`${told}\ninstead of\n${seen}`)
  })

/** What of the sources knows ioredis, against the one that the consumer has. */
const checkSources = () => {
  const compilerOptions = { paths: { ioredis: [join(consumer, "node_modules", "ioredis")] } }
  const config = { extends: "./tsconfig.json", compilerOptions, files: ["src/redis/client/ioredis.ts"], include: [] }
  writeFileSync(join(copy, "tsconfig.ioredis.json"), JSON.stringify(config))
  run(join("node_modules", ".bin", "tsc"), ["-p", "tsconfig.ioredis.json", "--pretty", "false"], copy)
}

try {
  copySources()
  const tarball = pack(copy, "once")
  const files = listFiles(tarball)
  await check("peers", checkPeers)
  install(tarball)
  await check("content", () => checkContent(files))
  await check("size", () => checkSize(tarball, files))
  await check("the same bytes again", () => checkBytes(tarball))
  await check("maps", () => checkMaps(files))
  await check("go to definition", checkDefinitions)
  await check("links", () => checkLinks(files))
  await check("publint", checkLint)
  await check("attw", () => checkAttw(tarball))
  const imports = (entry) => check(`import ${specifier(entry)}`, () => checkImports(entry))
  for (const entry of CORE) await imports(entry)
  await check("types, NodeNext, beside effect alone", () => checkTypes("NodeNext", "NodeNext", CORE))
  await check("beside effect alone", checkAlone)
  add(...peers.filter(isOptional).concat("@types/react").map(exactly))
  for (const entry of entries.filter((entry) => !CORE.includes(entry))) await imports(entry)
  await check("a page brings nothing of Effect or Node", checkPage)
  await check("nothing else can be imported", checkClosed)
  await check("types, NodeNext", () => checkTypes("NodeNext", "NodeNext"))
  await check("bin --help", checkHelp)
  await check("bin serves /health and stops", checkServer)

  // Effect asks for ioredis 5, so that is what everybody has who does not ask for another.
  const isOff = process.env.REDIS === "off"
  if (isOff) console.log("skip  REDIS=off: replicas over a real Redis are NOT checked, with neither ioredis")
  else await check("replicas, ioredis 5", () => checkReplicas(5))
  add("ioredis@6")
  await check("types, Bundler, ioredis 6", () => checkTypes("ESNext", "Bundler"))
  await check("sources, ioredis 6", checkSources)
  if (!isOff) await check("replicas, ioredis 6", () => checkReplicas(6))
} catch (error) {
  failures++
  console.log(`FAIL  ${error.message}`)
} finally {
  rmSync(work, { recursive: true, force: true })
}
process.exitCode = failures === 0 ? 0 : 1
