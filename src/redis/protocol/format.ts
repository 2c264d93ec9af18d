/**
 * The formats of what is kept and said in Redis, and what becomes of a newer one.
 *
 * What is kept has its number in `c`, which every heartbeat reads. A message on a topic's channel begins with an epoch,
 * and what is said on a channel with its origin: both are texts, so one of a later format begins with its number. Who
 * meets a newer format than it knows says so, leaves alone what is kept, and drops what is said: a topic that moved all the
 * same is found by the next comparison.
 */

/** Of what is kept, as `beat` writes it. Version 0.1 wrote none. */
export const FORMAT = 2

/** The format that replicas say they keep. */
export const formatOf = (said: string): number => Number(/^format (\d+)/.exec(said)?.[1] ?? 1)

/** Something was said in a format that this version does not know. */
class NewerFormat extends Error {
  override readonly name = "NewerFormat"

  constructor(readonly format: number) {
    super(
      `a replica of a newer version says things in Redis that this one does not understand (format ${format}): they are dropped here; what became of a topic is read within 10 seconds`
    )
  }
}

/** Takes what was said, unless it begins with the number of a newer format. */
export const understood = (said: ReadonlyArray<unknown>): ReadonlyArray<unknown> => {
  const [format] = said
  if (Number.isSafeInteger(format) && Number(format) > FORMAT) throw new NewerFormat(Number(format))
  return said
}
