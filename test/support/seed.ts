/** The seed of all random tests: printed, and given as `FC_SEED` to see a failure again. */
export const seedOf = (name: string, runs: number): number => {
  const given = process.env.FC_SEED
  const seed = given === undefined ? Math.floor(Math.random() * 2 ** 31) : Number(given)
  console.log(`${name}: ${runs} runs, FC_SEED=${seed}`)
  return seed
}
