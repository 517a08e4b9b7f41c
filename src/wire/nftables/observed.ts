import type { Expression } from "./expression.ts";
import type { ObservedBase } from "./hooks.ts";
import type { Element, Family } from "./model.ts";
import type { SetDefinition } from "./set-definition.ts";

/** A table as the kernel has it. */
export type ObservedTable = {
  family: Family;
  name: string;
  /** Text of its user data: who made it. */
  comment: string | undefined;
  /** Whether it outlives its owner and foreign flushes (NFT_TABLE_F_PERSIST). */
  persistent: boolean;
  /** Port id of the socket that alone may change it; undefined when anybody may. */
  owner: number | undefined;
  /** Of the ruleset when this was read. */
  generation: number;
  chains: ObservedChain[];
  /** Named sets and maps; those that belong to a rule are left out. */
  sets: ObservedSet[];
  /** By set; sets whose types we have no words for are left out. */
  elements: Map<string, Element[]>;
  counters: Map<string, CounterValue>;
};

export type ObservedChain = { name: string; base: ObservedBase | undefined; rules: ObservedRule[] };

/** `id` is the rule's comment. */
export type ObservedRule = { handle: bigint; id: string | undefined; expressions: Expression[] };

/** `definition` is absent for sets of types or flags that are none of ours. */
export type ObservedSet = { name: string; definition: SetDefinition | undefined };

export type CounterValue = { packets: bigint; bytes: bigint };
