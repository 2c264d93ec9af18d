// What metas say, in a few words each. Where somebody points is shown as a cursor, and refs are the protocol's.
window.makeChips = () => {
  /** How many of one person are shown, and how long each may be. */
  const SHOWN = 3
  const LENGTH = 32

  const isShare = (value) => typeof value === "number" && value >= 0 && value <= 1

  const isPointer = ({ x, y }) => isShare(x) && isShare(y)

  const short = (text) => (text.length > LENGTH ? `${[...text].slice(0, LENGTH - 1).join("")}…` : text)

  /** One text a member; what is true needs only its name. */
  const chipsOf = (meta) => {
    const { phx_ref: _, phx_ref_prev: __, presence_ref: ___, ...said } = meta
    if (isPointer(said)) {
      delete said.x
      delete said.y
    }
    return Object.entries(said).map(([name, value]) => {
      if (value === true) return short(name)
      return short(`${name}: ${typeof value === "string" ? value : JSON.stringify(value)}`)
    })
  }

  /** Those of all connections of one person, each once. */
  const shown = (chips) => {
    const all = [...new Set(chips)]
    return all.length > SHOWN ? [...all.slice(0, SHOWN - 1), `+${all.length - SHOWN + 1}`] : all
  }

  return { chipsOf, isPointer, shown }
}
