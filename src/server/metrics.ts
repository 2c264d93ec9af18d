/**
 * The metrics as Prometheus reads them, text format 0.0.4: those of this package, none of the runtime's.
 */
import { Effect, Metric, type MetricKey, type MetricPair, MetricState, Option } from "effect"

export const CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

export const text: Effect.Effect<string> = Effect.gen(function* () {
  const families = new Map<string, Array<string>>()
  for (const { metricKey, metricState } of yield* Metric.snapshot) {
    const { name } = metricKey
    if (!name.startsWith("presence_")) continue
    const lines = families.get(name) ?? head(metricKey, metricState)
    lines.push(...samples(metricKey, metricState))
    families.set(name, lines)
  }
  const sorted = [...families].sort(([a], [b]) => (a < b ? -1 : 1))
  return `${sorted.flatMap(([, lines]) => lines).join("\n")}\n`
})

type Key = MetricKey.MetricKey.Untyped
type State = MetricPair.MetricPair.Untyped["metricState"]

const typeOf = (state: State): string =>
  MetricState.isCounterState(state)
    ? "counter"
    : MetricState.isGaugeState(state)
      ? "gauge"
      : MetricState.isHistogramState(state)
        ? "histogram"
        : "untyped"

const head = ({ name, description }: Key, state: State): Array<string> => [
  ...Option.match(description, {
    onNone: () => [],
    onSome: (text) => [`# HELP ${name} ${text.replaceAll("\\", "\\\\").replaceAll("\n", "\\n")}`]
  }),
  `# TYPE ${name} ${typeOf(state)}`
]

const samples = (key: Key, state: State): Array<string> => {
  const tags = key.tags.map((tag) => [tag.key, tag.value] as const)
  if (MetricState.isCounterState(state)) return [sample(key.name, tags, state.count)]
  if (MetricState.isGaugeState(state)) return [sample(key.name, tags, state.value)]
  if (!MetricState.isHistogramState(state)) return []
  const finite = state.buckets.filter(([bound]) => Number.isFinite(bound))
  return [
    ...finite.map(([bound, count]) => sample(`${key.name}_bucket`, [...tags, ["le", String(bound)]], count)),
    sample(`${key.name}_bucket`, [...tags, ["le", "+Inf"]], state.count),
    sample(`${key.name}_sum`, tags, state.sum),
    sample(`${key.name}_count`, tags, state.count)
  ]
}

const sample = (name: string, labels: ReadonlyArray<readonly [string, string]>, value: number | bigint): string => {
  const text = labels.map(([key, value]) => `${key}=${JSON.stringify(value)}`).join(",")
  return `${name}${text === "" ? "" : `{${text}}`} ${value}`
}
