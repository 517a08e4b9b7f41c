import { type ErrorBody, NexusError } from "../base/errors.ts";

/** What a caller of a tool is told of an error: ours as it is, any other as the defect it is. */
export function errorBodyFor(error: unknown): ErrorBody {
  if (error instanceof NexusError) return error.toBody();
  return { code: "internal", message: `a defect in Nexus: ${error instanceof Error ? error.message : String(error)}` };
}
