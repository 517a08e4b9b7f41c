import { WireError } from "../../base/errors.ts";
import { unreachable } from "../../base/exhaustive.ts";
import { paddedLength } from "./datatypes.ts";
import type { Expression } from "./expression.ts";
import { fieldOf, type Load } from "./fields.ts";
import type { Need, Settled } from "./guards.ts";
import type { Element, Family, Field } from "./model.ts";
import { registerAt } from "./register.ts";
import type { SetDefinition } from "./set-definition.ts";

/** A set that lives and dies with its rule; the lookup names it by `definition.id`, which is unique in a batch. */
export type AnonymousSet = { definition: SetDefinition; elements: Element[] };

export type CompiledRule = { expressions: Expression[]; sets: AnonymousSet[] };

/** What the rule's place decides. `nextSetId` gives numbers that no other set of the batch has. */
export type CompileContext = { family: Family; nextSetId: () => number };

/** Where compiling a statement puts its instructions. */
export type Scope = CompileContext & { settled: Settled; out: CompiledRule };

/** Guards of the fields, then each field into the registers one after another from the first. */
export function loadFields(fields: readonly Field[], scope: Scope): void {
  for (const field of fields) requireGuards(field, scope);
  let offset = 0;
  for (const field of fields) {
    const { load, type } = fieldOf(field);
    scope.out.expressions.push(loadInto(load, registerAt(offset)));
    offset += paddedLength(type);
  }
  if (offset > 64) throw new WireError("nftables registers", `${fields.join(" . ")} takes ${offset} bytes and there are 64`);
}

/** Puts what a field asks of the packet first, unless the rule has settled it already. */
export function requireGuards(field: Field, scope: Scope): void {
  requireNeeds(fieldOf(field).needs, scope);
}

export function requireNeeds(needs: readonly Need[], scope: Scope): void {
  for (const guard of scope.settled.require(needs, scope.family)) {
    scope.out.expressions.push(loadInto(guard.load, 1), { kind: "cmp", op: "eq", sreg: 1, data: guard.data });
  }
}

export function loadInto(load: Load, dreg: number): Expression {
  switch (load.kind) {
    case "payload":
      return { ...load, dreg };
    case "meta":
      return { ...load, dreg };
    case "ct":
      return { ...load, dreg };
    case "fib-type":
      return { ...load, dreg };
    default:
      return unreachable(load);
  }
}
