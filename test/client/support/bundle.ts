/** What a page gets: an entry of this package, bundled for browsers. */
import { fileURLToPath } from "node:url"
import { gzipSync } from "node:zlib"
import { type BuildOptions, build } from "esbuild"

const root = fileURLToPath(new URL("../../..", import.meta.url))

export interface Bundle {
  readonly text: string
  /** The files and packages that are in it. */
  readonly inputs: ReadonlyArray<string>
  /** Bytes of it, minified and compressed. */
  readonly size: number
}

/** Fails where something of Node is in it: for browsers nobody resolves that. */
export const bundle = async (contents: string, options: BuildOptions = {}): Promise<Bundle> => {
  const { outputFiles, metafile } = await build({
    stdin: { contents, resolveDir: root, sourcefile: "page.tsx", loader: "tsx" },
    absWorkingDir: root,
    bundle: true,
    minify: true,
    platform: "browser",
    format: "esm",
    logLevel: "silent",
    jsx: "automatic",
    ...options,
    alias: {
      "effect-presence/client": "./src/client/index.ts",
      "effect-presence/react": "./src/react/index.ts",
      ...options.alias
    },
    write: false,
    metafile: true
  })
  const text = outputFiles?.[0]?.text ?? ""
  return {
    text,
    inputs: Object.keys(metafile?.inputs ?? {}).filter((input) => input !== "page.tsx"),
    size: gzipSync(text, { level: 9 }).length
  }
}
