// A colour for everybody who is here, of which no two are the same. Who comes back has their own again if nobody near it
// took it; white letters are read on all of them.
window.makeColors = () => {
  /** Twelve hues, each in three lightnesses, lightest first. */
  const HUES = 12
  const LIGHTS = [0.52, 0.44, 0.36]
  const SLOTS = HUES * LIGHTS.length
  /** How far apart two colours are that nobody takes for each other, in steps of the hue. */
  const CLEAR = 2
  /** Where more are here than there are slots, each further one turns its hue by so many degrees. */
  const TURN = 1.5

  const isKnown = CSS.supports("color", "oklch(50% 0.1 0)")
  /** How many times each slot is taken at once, and by which turns. */
  const taken = Array.from({ length: SLOTS }, () => new Set())
  const places = new Map()

  const distance = (a, b) => {
    const hues = Math.abs(a - b) % HUES
    const lights = Math.abs(Math.floor(a / HUES) - Math.floor(b / HUES))
    return Math.hypot(Math.min(hues, HUES - hues), 1.5 * lights)
  }

  const hash = (key) => {
    let hash = 0x811c9dc5
    for (let i = 0; i < key.length; i++) hash = Math.imul(hash ^ key.charCodeAt(i), 0x01000193)
    return (hash ^ (hash >>> 15)) >>> 0
  }

  /** The slot that its name chose, if it is clear of the others, else the clearest; the least taken when all are. */
  const choose = (key) => {
    const least = Math.min(...taken.map(({ size }) => size))
    const free = taken.flatMap(({ size }, slot) => (size === least ? [slot] : []))
    const wanted = hash(key) % SLOTS
    if (least > 0) return free.includes(wanted) ? wanted : free[wanted % free.length]
    const used = taken.flatMap(({ size }, slot) => (size > 0 ? [slot] : []))
    const clear = (slot) => Math.min(CLEAR, ...used.map((other) => distance(slot, other)))
    return free.reduce(
      (best, slot) => (clear(slot) > clear(best) ? slot : best),
      free.includes(wanted) ? wanted : free[0]
    )
  }

  /** As CSS has it, the same until it is released; without one where the browser is too old for it. */
  const colorOf = (key) => {
    let place = places.get(key)
    if (place === undefined) {
      const slot = choose(key)
      let turn = 0
      while (taken[slot].has(turn)) turn++
      taken[slot].add(turn)
      place = { slot, turn }
      places.set(key, place)
    }
    const light = LIGHTS[Math.floor(place.slot / HUES)]
    const hue = ((place.slot % HUES) * 360) / HUES + place.turn * TURN
    return isKnown ? `oklch(${light} ${light / 4} ${hue % 360})` : ""
  }

  /** Whoever is not here leaves their colour to others. */
  const keepOnly = (here) => {
    for (const [key, { slot, turn }] of places) {
      if (here.has(key)) continue
      taken[slot].delete(turn)
      places.delete(key)
    }
  }

  return { colorOf, keepOnly }
}
