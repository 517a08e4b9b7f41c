import type { Writer } from "../netlink/bytes.ts";
import { writeAttribute } from "../netlink/attributes.ts";
import { messageFlags } from "../netlink/message.ts";
import { elementListAttributes } from "./attributes.ts";
import type { Batch } from "./batch.ts";
import { ElementWriter } from "./element-writer.ts";
import { messageType } from "./message.ts";
import type { Element, Family } from "./model.ts";
import type { SetDefinition } from "./set-definition.ts";

/** An attribute's length has 16 bits, so long lists go in several messages of the batch. */
const fullAt = 60_000;
const listType = 3 | 0x8000;

type Elements = { family: Family; table: string; elements: readonly Element[]; about?: string };

/** Adds elements; the kernel refuses the batch when a key is taken by other data, and says nothing when all is the same already. */
export function addElements(batch: Batch, change: Elements, set: SetDefinition): void {
  writeAll(batch, change, { set, mode: "add", type: messageType.newElements, flags: messageFlags.create });
}

/** Deletes elements by key; the kernel refuses the batch when one is not there. */
export function deleteElements(batch: Batch, change: Elements, set: SetDefinition): void {
  writeAll(batch, change, { set, mode: "delete", type: messageType.deleteElements, flags: 0 });
}

function writeAll(batch: Batch, change: Elements, how: { set: SetDefinition; mode: "add" | "delete"; type: number; flags: number }): void {
  const { family, table, elements } = change;
  const { set, mode, type, flags } = how;
  const encoder = new ElementWriter(set, mode);
  for (let next = 0; next < elements.length;) {
    const about = change.about ?? `${mode} ${elements.length} elements of ${table} ${set.name}, from number ${next + 1}`;
    const attributes = (writer: Writer): void => {
      elementListAttributes.write(writer, { table, set: set.name, id: set.id });
      writeAttribute(writer, listType, () => {
        next = writeSome(writer, encoder, { elements, from: next });
      });
    };
    batch.add({ type, flags, family, about, table: elementListAttributes, attributes });
  }
}

/** Writes as many as fit one message; gives the place of the first that did not. */
function writeSome(writer: Writer, encoder: ElementWriter, list: { elements: readonly Element[]; from: number }): number {
  const start = writer.length;
  let index = 1;
  let next = list.from;
  for (; next < list.elements.length && writer.length - start < fullAt; next++)
    index = encoder.write(writer, list.elements[next] as Element, index);
  return next;
}
