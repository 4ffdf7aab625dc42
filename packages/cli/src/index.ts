export { type CliStreams, runCli } from './cli.ts';
export { configJsonSchema } from './settings/config-file.ts';
export type { TextSink } from './terminal/report.ts';
