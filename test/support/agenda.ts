/** What is to happen when, in virtual time: the earliest first, and of one time in the order in which it was added. */

interface Entry {
  at: number
  readonly order: number
}

/** A binary heap. */
export class Agenda<E extends Entry> {
  private readonly heap: Array<E> = []

  get first(): E | undefined {
    return this.heap[0]
  }

  add(entry: E): void {
    const { heap } = this
    let i = heap.push(entry) - 1
    while (i > 0) {
      const parent = (i - 1) >> 1
      const above = heap[parent] as E
      if (!isBefore(entry, above)) break
      heap[i] = above
      i = parent
    }
    heap[i] = entry
  }

  takeFirst(): void {
    const { heap } = this
    const last = heap.pop() as E
    if (heap.length === 0) return
    let i = 0
    for (;;) {
      const left = 2 * i + 1
      if (left >= heap.length) break
      const right = left + 1
      const least = right < heap.length && isBefore(heap[right] as E, heap[left] as E) ? right : left
      if (!isBefore(heap[least] as E, last)) break
      heap[i] = heap[least] as E
      i = least
    }
    heap[i] = last
  }
}

const isBefore = (a: Entry, b: Entry): boolean => a.at < b.at || (a.at === b.at && a.order < b.order)
