export * from './charts/index.ts';
export type { DatasetStatistics, ImageDataset } from './dataset.ts';
export { imageLibraries } from './decode.ts';
export { type IdxImagesOptions, idxImages } from './idx-images.ts';
export { type ImageFolderOptions, imageFolder } from './image-folder.ts';
export { type ImageGridOptions, type ImageRow, type ImageRowsOptions, imageGrid, imageRows } from './image-grid.ts';
export { type Images, type RawImage, toBytes } from './images.ts';
export { type OpenImagesOptions, openImages } from './open-images.ts';
export { type ReadImageOptions, readImage } from './read-image.ts';
export { type SaveAnimationOptions, saveAnimation } from './save-animation.ts';
export { type SaveImagesOptions, saveImageGrid, saveImageRows, saveImages } from './save-images.ts';
export {
  type Channels,
  type OpenOptions,
  type OpenProgress,
  type Resolution,
  resolveCacheDirectory,
  type SkippedFile,
} from './settings.ts';
