/**
 * The two kinds of panel that the dashboards use, and what all dashboards have in common.
 *
 * Role: from a title, a unit and queries to the builders of Grafana's SDK, so that a dashboard reads as a
 * list of what it shows.
 */
import {
  BigValueGraphMode,
  type DataSourceRef,
  GraphDrawStyle,
  LegendDisplayMode,
  LegendPlacement,
  SortOrder,
  StackingConfigBuilder,
  StackingMode,
  TooltipDisplayMode,
  VisibilityMode,
  VizLegendOptionsBuilder,
  VizTooltipOptionsBuilder,
} from '@grafana/grafana-foundation-sdk/common';
import {
  AnnotationQueryBuilder,
  DashboardBuilder,
  DashboardCursorSync,
  DatasourceVariableBuilder,
  QueryVariableBuilder,
  RowBuilder,
  ThresholdsConfigBuilder,
  ThresholdsMode,
  VariableRefresh,
} from '@grafana/grafana-foundation-sdk/dashboard';
import { DataqueryBuilder } from '@grafana/grafana-foundation-sdk/prometheus';
import { PanelBuilder as StatBuilder } from '@grafana/grafana-foundation-sdk/stat';
import { PanelBuilder as TimeseriesBuilder } from '@grafana/grafana-foundation-sdk/timeseries';
import { of } from './queries.ts';

// biome-ignore lint/suspicious/noTemplateCurlyInString: a variable of Grafana's
const DATASOURCE: DataSourceRef = { type: 'prometheus', uid: '${datasource}' };

/** PromQL, and the legend of its series: text with `{{label}}`. */
export type Query = readonly [expr: string, legend: string];

export interface Chart {
  readonly title: string;
  /** What it means and when to worry, for whoever holds the mouse over it. */
  readonly description: string;
  /** Grafana's name of the unit. */
  readonly unit: string;
  readonly queries: readonly Query[];
  /** Series are parts of a whole. */
  readonly stacked?: boolean;
  /** Top of the axis at least. */
  readonly max?: number;
  /** Of 24 columns. */
  readonly columns?: number;
  /** Legends of series that are limits: dashed, above the others, not stacked. */
  readonly limits?: readonly string[];
}

export interface Figure {
  readonly title: string;
  readonly description: string;
  readonly unit: string;
  readonly query: string;
  /** From this value on it is a warning, from that on a fault. */
  readonly warnAt?: number;
  readonly faultAt?: number;
  /** Below 1 is the fault. */
  readonly faultBelow?: number;
}

const CHART_HEIGHT = 8;
const FIGURE_HEIGHT = 4;
const FIGURE_COLUMNS = 3;

function target([expr, legend]: Query, index: number): DataqueryBuilder {
  return new DataqueryBuilder()
    .refId(String.fromCharCode(65 + index))
    .datasource(DATASOURCE)
    .expr(expr)
    .legendFormat(legend);
}

/** Lines over time. */
export function chart(what: Chart): TimeseriesBuilder {
  const panel = new TimeseriesBuilder()
    .title(what.title)
    .description(what.description)
    .datasource(DATASOURCE)
    .unit(what.unit)
    .min(0)
    .height(CHART_HEIGHT)
    .span(what.columns ?? 8)
    .targets(what.queries.map(target))
    .drawStyle(GraphDrawStyle.Line)
    .lineWidth(1)
    .fillOpacity(what.stacked === true ? 40 : 8)
    .showPoints(VisibilityMode.Never)
    .legend(
      new VizLegendOptionsBuilder()
        .displayMode(LegendDisplayMode.List)
        .placement(LegendPlacement.Bottom)
        .showLegend(true),
    )
    .tooltip(
      new VizTooltipOptionsBuilder().mode(TooltipDisplayMode.Multi).sort(SortOrder.Descending),
    );
  if (what.max !== undefined) panel.max(what.max);
  if (what.stacked === true) {
    panel.stacking(new StackingConfigBuilder().mode(StackingMode.Normal).group('A'));
  }
  for (const limit of what.limits ?? []) {
    panel.overrideByName(limit, [
      { id: 'custom.lineStyle', value: { fill: 'dash', dash: [8, 6] } },
      { id: 'custom.fillOpacity', value: 0 },
      { id: 'custom.stacking', value: { mode: 'none', group: 'limit' } },
      { id: 'color', value: { mode: 'fixed', fixedColor: 'red' } },
    ]);
  }
  return panel;
}

/** One number, with its course behind it. */
export function figure(what: Figure): StatBuilder {
  const steps: { value: number | null; color: string }[] = [{ value: null, color: 'green' }];
  if (what.faultBelow !== undefined) {
    steps[0] = { value: null, color: 'red' };
    steps.push({ value: what.faultBelow, color: 'green' });
  }
  if (what.warnAt !== undefined) steps.push({ value: what.warnAt, color: 'orange' });
  if (what.faultAt !== undefined) steps.push({ value: what.faultAt, color: 'red' });
  return new StatBuilder()
    .title(what.title)
    .description(what.description)
    .datasource(DATASOURCE)
    .unit(what.unit)
    .height(FIGURE_HEIGHT)
    .span(FIGURE_COLUMNS)
    .targets([target([what.query, what.title], 0)])
    .graphMode(BigValueGraphMode.Area)
    .thresholds(new ThresholdsConfigBuilder().mode(ThresholdsMode.Absolute).steps(steps));
}

/** A dashboard with its variables, before its rows. */
export function dashboard(uid: string, title: string, description: string): DashboardBuilder {
  const variable = (name: string, label: string, query: string) =>
    new QueryVariableBuilder(name)
      .label(label)
      .datasource(DATASOURCE)
      .query({ query, refId: `variable-${name}` })
      .definition(query)
      .refresh(VariableRefresh.OnTimeRangeChanged)
      .multi(true)
      .includeAll(true)
      .allValue('.+')
      .current({ selected: true, text: ['All'], value: ['$__all'] });
  return new DashboardBuilder(title)
    .uid(uid)
    .description(description)
    .tags(['hybrid-mpm'])
    .timezone('browser')
    .tooltip(DashboardCursorSync.Crosshair)
    .time({ from: 'now-1h', to: 'now' })
    .refresh('30s')
    .withVariable(
      new DatasourceVariableBuilder('datasource').label('Data source').type('prometheus'),
    )
    .withVariable(variable('job', 'Job', 'label_values(mpm_build_info, job)'))
    .withVariable(
      variable('instance', 'Instance', 'label_values(mpm_build_info{job=~"$job"}, instance)'),
    );
}

/** A vertical line in every chart wherever workers were started. */
export const startsOverlay = (enabled: boolean): AnnotationQueryBuilder =>
  new AnnotationQueryBuilder()
    .name('Worker starts')
    .datasource(DATASOURCE)
    .enable(enabled)
    .iconColor('purple')
    .expr(`sum by (instance) (increase(${of('mpm_worker_starts_total')}[$__rate_interval])) > 0.5`)
    .titleFormat('workers started')
    .textFormat('{{instance}}');

/** Rows with their panels, numbered through, so that links and annotations can name a panel. */
export function withRows(
  built: DashboardBuilder,
  rows: readonly (readonly [title: string, panels: readonly (StatBuilder | TimeseriesBuilder)[]])[],
): DashboardBuilder {
  let id = 0;
  for (const [title, panels] of rows) {
    built.withRow(new RowBuilder(title).id(++id));
    for (const panel of panels) built.withPanel(panel.id(++id));
  }
  return built;
}
