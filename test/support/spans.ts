/** A tracer that keeps what is traced. */
import { type Exit, Option, Tracer } from "effect"

export interface Recorded {
  readonly name: string
  readonly kind: Tracer.SpanKind
  readonly parent: string | undefined
  readonly attributes: ReadonlyMap<string, unknown>
  exit: Exit.Exit<unknown, unknown> | undefined
}

export const recordingTracer = () => {
  const spans: Array<Recorded> = []
  const tracer = Tracer.make({
    span: (name, parent, context, links, startTime, kind) => {
      const attributes = new Map<string, unknown>()
      const parentName = Option.match(parent, {
        onNone: () => undefined,
        onSome: (parent) => (parent._tag === "Span" ? parent.name : parent.spanId)
      })
      const recorded: Recorded = { name, kind, parent: parentName, attributes, exit: undefined }
      spans.push(recorded)
      return {
        _tag: "Span",
        ...{ name, spanId: String(spans.length), traceId: "trace", parent, context, links, kind, attributes },
        status: { _tag: "Started", startTime },
        sampled: true,
        end: (_, exit) => {
          recorded.exit = exit
        },
        attribute: (key, value) => attributes.set(key, value),
        event: () => {},
        addLinks: () => {}
      }
    },
    context: (f) => f()
  })
  return { spans, tracer }
}
