/**
 * Tells, after all tests, which of them passed only when they were tried again, and why they had failed.
 */
import { relative } from "node:path"
import type { Reporter } from "vitest/reporters"

export default class SecondTries implements Reporter {
  readonly onTestRunEnd: NonNullable<Reporter["onTestRunEnd"]> = (modules) => {
    for (const module of modules) {
      const file = relative(".", module.moduleId)
      for (const test of module.children.allTests("passed")) {
        for (const { stack, message } of test.result().errors ?? []) {
          console.log(`passed on a second try: ${file} > ${test.fullName}\n${stack ?? message}\n`)
        }
      }
    }
  }
}
