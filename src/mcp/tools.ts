import { facilityTools } from "./facility-tools.ts";
import { fileTools } from "./file-tools.ts";
import { guestTools } from "./guest-tools.ts";
import { runCommand } from "./run-command.ts";
import { runSandboxed } from "./run-sandboxed.ts";
import type { Tool } from "./tool.ts";

/** Every tool, in the order they are listed. */
export const tools: readonly Tool[] = [...fileTools, runCommand, runSandboxed, ...guestTools, ...facilityTools];
