// What `tsc` leaves behind: everything in `src` that is not TypeScript (the page, the Lua scripts) goes to the same place in `dist`.
import { cpSync } from "node:fs"

cpSync("src", "dist", { recursive: true, filter: (path) => !path.endsWith(".ts") })
