#!/usr/bin/env node
/**
 * The ready server, or one line on standard error that says what is not installed.
 */
import { explained } from "../web/missingPeers.js"

import("./main.js").catch((error) => {
  const missing = explained(error)
  if (missing === error) throw error
  console.error(`effect-presence: ${String(missing)}`)
  process.exitCode = 1
})
