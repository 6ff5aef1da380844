/**
 * Node's Buffer with the encoder-specific calls behind toString and write. They are there in every
 * supported version and save the dispatch on the encoding's name, which @types/node leaves out.
 */
export interface RawBuffer extends Buffer {
  latin1Slice(start: number, end: number): string;
  latin1Write(text: string, offset: number): number;
  utf8Write(text: string, offset: number): number;
}
