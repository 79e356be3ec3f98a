export { awsProtocols, type AwsProtocolsOptions } from "./protocols.ts";
