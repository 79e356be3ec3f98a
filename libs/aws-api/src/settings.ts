export interface AwsSettings {
  /** What stands in ARNs, and what a signature has to be for. */
  region: string;
}
