import type { core } from "zod";

/** The keys a schema knows at a path: those of every object that may stand there. */
export function knownKeys(schema: core.$ZodType, path: readonly PropertyKey[]): string[] {
  let here = inside(schema);
  for (const step of path) here = here.flatMap((type) => child(type, step)).flatMap(inside);
  return [
    ...new Set(here.flatMap((type) => (type._zod.def.type === "object" ? Object.keys((type as core.$ZodObject)._zod.def.shape) : []))),
  ];
}

function child(type: core.$ZodType, step: PropertyKey): core.$ZodType[] {
  const def = (type as core.$ZodTypes)._zod.def;
  switch (def.type) {
    case "object": {
      const next = def.shape[String(step)];
      return next === undefined ? [] : [next];
    }
    case "array":
      return [def.element];
    case "record":
      return [def.valueType];
    default:
      return [];
  }
}

/** What is left of a schema without its wrappers, each branch of a union for itself. */
function inside(type: core.$ZodType): core.$ZodType[] {
  const def = (type as core.$ZodTypes)._zod.def;
  switch (def.type) {
    case "optional":
    case "nullable":
    case "default":
    case "prefault":
    case "readonly":
    case "catch":
    case "nonoptional":
      return inside(def.innerType);
    case "pipe":
      return inside(def.in);
    case "union":
      return def.options.flatMap(inside);
    default:
      return [type];
  }
}
