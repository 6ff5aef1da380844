/** The committed dashboards as Grafana reads them. */
import { readdirSync, readFileSync } from 'node:fs';

const FOLDER = new URL('../../grafana/dashboards/', import.meta.url);

export interface Panel {
  readonly type: string;
  readonly id: number;
  readonly title: string;
  readonly description: string;
  readonly fieldConfig: { readonly defaults: { readonly unit: string } };
  readonly targets: readonly { readonly expr: string; readonly legendFormat: string }[];
}

export interface Dashboard {
  readonly uid: string;
  readonly title: string;
  readonly panels: readonly Panel[];
  readonly annotations: {
    readonly list: readonly { readonly name: string; readonly expr: string }[];
  };
  readonly templating: {
    readonly list: readonly {
      readonly name: string;
      readonly type: string;
      readonly multi: boolean;
    }[];
  };
}

/** Text of each file by its name. */
export const dashboardFiles = (): ReadonlyMap<string, string> =>
  new Map(readdirSync(FOLDER).map((file) => [file, readFileSync(new URL(file, FOLDER), 'utf8')]));

export const readDashboards = (): Dashboard[] =>
  [...dashboardFiles().values()].map((text) => JSON.parse(text) as Dashboard);

/** Panels without the headings of rows. */
export const panelsOf = ({ panels }: Dashboard): readonly Panel[] =>
  panels.filter(({ type }) => type !== 'row');
