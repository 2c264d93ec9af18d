/**
 * Checks that each export of each entry says since which version it is there, as its reference does. What is `@internal`
 * is no export to anybody.
 */
import { readFileSync } from "node:fs"
import { join, relative } from "node:path"
import ts from "typescript"

const root = join(import.meta.dirname, "..")
const sources = join(root, "src")
const { exports } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"))
const entries = Object.values(exports).flatMap((entry) =>
  typeof entry?.types === "string" ? [join(root, entry.types.replace("./dist", "src").replace(".d.ts", ".ts"))] : []
)
const { options } = ts.getParsedCommandLineOfConfigFile(join(root, "tsconfig.json"), {}, ts.sys)
const program = ts.createProgram(entries, options)
const checker = program.getTypeChecker()

const seen = new Set()
const without = []
const look = (found, path) => {
  const symbol = found.flags & ts.SymbolFlags.Alias ? checker.getAliasedSymbol(found) : found
  const [declaration] = symbol.declarations ?? []
  if (seen.has(symbol) || !declaration?.getSourceFile().fileName.startsWith(sources)) return
  seen.add(symbol)
  const isModule = ts.isSourceFile(declaration)
  // A type and a value of one name say so each.
  for (const declared of isModule ? [] : symbol.declarations) {
    const tags = ts.getJSDocTags(declared).map(({ tagName }) => tagName.text)
    if (tags.includes("internal")) return
    if (!tags.includes("since")) without.push(path)
  }
  if (!isModule && !(symbol.flags & ts.SymbolFlags.Namespace)) return
  for (const inner of checker.getExportsOfModule(symbol)) look(inner, `${path}.${inner.name}`)
}
for (const entry of entries) {
  const module = checker.getSymbolAtLocation(program.getSourceFile(entry))
  for (const symbol of checker.getExportsOfModule(module)) look(symbol, `${relative(root, entry)}: ${symbol.name}`)
}

for (const path of without) console.error(`${path} does not say @since`)
if (seen.size === 0) console.error("no exports were found")
if (without.length > 0 || seen.size === 0) process.exit(1)
console.log(`${seen.size} exports say since when they are there`)
