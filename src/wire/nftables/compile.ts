import { WireError } from "../../base/errors.ts";
import { unreachable } from "../../base/exhaustive.ts";
import { compileMatch } from "./compile-match.ts";
import { encodeValue } from "./datatypes.ts";
import { type Expression, natFlags } from "./expression.ts";
import { fieldOf } from "./fields.ts";
import { Settled } from "./guards.ts";
import type { Family, Rule, Statement } from "./model.ts";
import { registerAt } from "./register.ts";
import { type CompileContext, type CompiledRule, loadFields, requireNeeds, type Scope } from "./scope.ts";
import type { SetDefinition } from "./set-definition.ts";

/** Registers and instructions for a rule, as nft would make them from the rendered text. @throws WireError naming the rule */
export function compileRule(rule: Rule, context: CompileContext): CompiledRule {
  const settled = new Settled();
  const out: CompiledRule = { expressions: [], sets: [] };
  for (const [i, statement] of rule.statements.entries()) {
    try {
      compileStatement(statement, { ...context, settled, out });
    } catch (error) {
      if (error instanceof WireError) throw new WireError(`rule ${rule.id}, statement ${i + 1} (${statement.kind})`, error.message);
      throw error;
    }
    settled.learn(statement);
  }
  return out;
}

function compileStatement(statement: Statement, scope: Scope): void {
  const emit = (...expressions: Expression[]): void => void scope.out.expressions.push(...expressions);
  switch (statement.kind) {
    case "match":
      compileMatch(statement, scope);
      return;
    case "in":
      loadFields(statement.fields, scope);
      emit({ kind: "lookup", set: statement.set, sreg: 1, invert: statement.op === "!=" });
      return;
    case "vmap":
      loadFields(statement.fields, scope);
      emit({ kind: "lookup", set: statement.map, sreg: 1, dreg: 0, invert: false });
      return;
    case "verdicts":
      compileCases(statement, scope);
      return;
    case "verdict":
      emit({ kind: "verdict", verdict: statement.verdict });
      return;
    case "dnat": {
      loadFields(statement.fields, scope);
      const port = registerAt(statement.family === "ip" ? 4 : 16);
      emit(
        { kind: "lookup", set: statement.map, sreg: 1, dreg: 1, invert: false },
        { kind: "nat", type: "dnat", family: statement.family, address: 1, ...(statement.port ? { port } : {}), flags: 0 },
      );
      return;
    }
    case "snat":
      emit(
        { kind: "immediate", dreg: 1, data: encodeValue(statement.address, statement.family === "ip" ? "ipv4_addr" : "ipv6_addr") },
        { kind: "nat", type: "snat", family: statement.family, address: 1, flags: 0 },
      );
      return;
    case "masquerade":
      compileMasquerade(statement, scope);
      return;
    case "reject":
      if (statement.with === "tcp-reset") requireNeeds(["tcp"], scope);
      emit(rejection(statement.with, scope.family));
      return;
    case "count":
      emit({ kind: "counter", packets: 0n, bytes: 0n });
      return;
    case "count-by":
      loadFields(statement.fields, scope);
      emit({ kind: "objref-map", set: statement.map, sreg: 1 });
      return;
    case "count-named":
      emit({ kind: "objref", object: "counter", name: statement.counter });
      return;
    case "set-mark":
      emit(
        { kind: "immediate", dreg: 1, data: encodeValue(statement.value, "mark") },
        { kind: statement.field === "mark" ? "meta-set" : "ct-set", key: "mark", sreg: 1 },
      );
      return;
    case "log":
      emit({ kind: "log", prefix: statement.prefix });
      return;
    case "limit":
      emit({ kind: "limit", rate: BigInt(statement.perSecond), unit: 1n, burst: statement.burst });
      return;
    default:
      unreachable(statement);
  }
}

function compileCases(statement: Extract<Statement, { kind: "verdicts" }>, scope: Scope): void {
  const id = scope.nextSetId();
  const elements = statement.cases.map(({ value, verdict }) => ({ key: [value], data: { verdict } }));
  const definition: SetDefinition = {
    name: "__map%d",
    id,
    key: [fieldOf(statement.field).type],
    data: "verdict",
    interval: false,
    anonymous: { size: elements.length },
  };
  loadFields([statement.field], scope);
  scope.out.sets.push({ definition, elements });
  scope.out.expressions.push({ kind: "lookup", set: definition.name, setId: id, sreg: 1, dreg: 0, invert: false });
}

function compileMasquerade(statement: Extract<Statement, { kind: "masquerade" }>, scope: Scope): void {
  const random = statement.random === true ? natFlags.fullyRandom : 0;
  if (statement.ports === undefined) {
    scope.out.expressions.push({ kind: "masquerade", flags: random });
    return;
  }
  const portMin = registerAt(0);
  const portMax = registerAt(16);
  scope.out.expressions.push(
    { kind: "immediate", dreg: portMin, data: encodeValue(statement.ports.from, "inet_service") },
    { kind: "immediate", dreg: portMax, data: encodeValue(statement.ports.to, "inet_service") },
    { kind: "masquerade", portMin, portMax, flags: random | natFlags.portsGiven },
  );
}

/** One code for both families exists only where both meet; the codes are those of RFC 792 and RFC 4443. */
function rejection(how: Extract<Statement, { kind: "reject" }>["with"], family: Family): Expression {
  if (how === "tcp-reset") return { kind: "reject", type: "tcp-reset", code: 0 };
  const codes = how === "icmpx-admin-prohibited" ? { ip: 13, ip6: 1, both: 3 } : { ip: 3, ip6: 4, both: 1 };
  if (family === "ip" || family === "ip6") return { kind: "reject", type: "icmp", code: codes[family] };
  return { kind: "reject", type: "icmpx", code: codes.both };
}
