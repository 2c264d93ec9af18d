/**
 * Which of many things are due, at a cost that follows what is due and not what lives.
 *
 * Deadlines stand densely in blocks of 1,024, each with a lower bound of its deadlines: a block whose bound lies
 * ahead is passed over whole. Moving a deadline later leaves the bound as it is (too low is only a wasted look), so
 * `set` is a store and a comparison. Memory grows and shrinks by blocks; nothing is ever copied as a whole.
 */

const BLOCK = 1_024

interface Block<T> {
  readonly at: Float64Array
  readonly items: Array<T>
  /** No deadline in this block is earlier. */
  bound: number
}

/** What stands in here knows its slot; -1 when it has none. */
export interface Slotted {
  slot: number
}

export class Deadlines<T extends Slotted> {
  private readonly blocks: Array<Block<T>> = []
  size = 0

  /** Gives an item a deadline, or moves the one it has. */
  set(item: T, at: number): void {
    if (item.slot === -1) {
      const slot = this.size++
      if (slot === this.blocks.length * BLOCK) {
        this.blocks.push({ at: new Float64Array(BLOCK), items: [], bound: Number.POSITIVE_INFINITY })
      }
      this.place(item, slot, at)
    } else {
      this.place(item, item.slot, at)
    }
  }

  /** Takes an item out. One that has no deadline is fine. */
  delete(item: T): void {
    const slot = item.slot
    if (slot === -1) return
    item.slot = -1
    const last = --this.size
    const block = this.block(last)
    const moved = block.items.pop() as T
    // One empty block stays, or a single item that comes and goes would make one each time.
    if (last === (this.blocks.length - 2) * BLOCK) this.blocks.pop()
    if (slot !== last) this.place(moved, slot, block.at[last % BLOCK] as number)
  }

  /** Takes out up to `max` items whose deadline is `now` or earlier. Fewer than `max`: there are no more. */
  takeDue(now: number, max: number): Array<T> {
    const due: Array<T> = []
    // Backwards, so that what `delete` moves into a slot has been looked at before.
    for (let b = this.blocks.length - 1; b >= 0; b--) {
      const block = this.blocks[b] as Block<T>
      if (block.bound > now) continue
      if (due.length === max) break
      let bound = Number.POSITIVE_INFINITY
      for (let i = block.items.length - 1; i >= 0; i--) {
        const at = block.at[i] as number
        if (at <= now && due.length < max) {
          const item = block.items[i] as T
          due.push(item)
          this.delete(item)
          if (i < block.items.length) bound = Math.min(bound, block.at[i] as number)
        } else if (at < bound) {
          bound = at
        }
      }
      block.bound = bound
    }
    return due.reverse()
  }

  /** Nothing is due before this. */
  get bound(): number {
    let bound = Number.POSITIVE_INFINITY
    for (const block of this.blocks) if (block.bound < bound) bound = block.bound
    return bound
  }

  private block(slot: number): Block<T> {
    return this.blocks[(slot / BLOCK) | 0] as Block<T>
  }

  private place(item: T, slot: number, at: number): void {
    const block = this.block(slot)
    const i = slot % BLOCK
    block.at[i] = at
    block.items[i] = item
    item.slot = slot
    if (at < block.bound) block.bound = at
  }
}
