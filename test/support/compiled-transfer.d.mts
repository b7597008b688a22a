export interface CompiledTransfer {
  /** The engine's index, as a path for `import`. */
  entry: string;
  /** Where a source file, named from the root of the checkout, has its compiled form. */
  urlOf: (path: string) => string;
  /** Imports a source file, named from the root of the checkout. */
  load: (path: string) => Promise<Record<string, unknown>>;
  remove: () => Promise<void>;
}
/** @param more folders and files that are wanted besides the engine */
export function compileTransfer(more?: string[]): Promise<CompiledTransfer>;
