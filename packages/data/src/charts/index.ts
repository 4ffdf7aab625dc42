export type { Annotation } from './annotations.ts';
export { type CaptionedRowsOptions, captionedRows, saveCaptionedRows } from './captioned-rows.ts';
export { type ChartGridOptions, chartGrid } from './chart-grid.ts';
export type { Axis } from './frame.ts';
export { type LineChartOptions, lineChart, type Series } from './line-chart.ts';
export { movingMean } from './moving-mean.ts';
export { chartEndings, type RenderOptions, rasterize, renderSvg } from './render.ts';
export { type PointSet, type ScatterPlotOptions, scatterPlot } from './scatter-plot.ts';
export { type SignalPlotOptions, type SignalSet, signalPlot } from './signal-plot.ts';
