import { fileTools } from "./file-tools.ts";
import { guestTools } from "./guest-tools.ts";
import { runCommand } from "./run-command.ts";
import type { Tool } from "./tool.ts";

/** Every tool, in the order they are listed. */
export const tools: readonly Tool[] = [...fileTools, runCommand, ...guestTools];
