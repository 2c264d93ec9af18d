// What `tsc` leaves behind: everything in `src` that is not TypeScript (the page) goes to the same place
// beside the compiled sources, those of the package and those that the programs are compiled with.
import { cpSync } from "node:fs"

for (const to of ["dist", "build/src"]) {
  cpSync("src", to, { recursive: true, filter: (path) => !/\.(ts|md)$/.test(path) })
}
