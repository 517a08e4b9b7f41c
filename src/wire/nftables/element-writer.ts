import { writeAttribute } from "../netlink/attributes.ts";
import type { Writer } from "../netlink/bytes.ts";
import { elementFlags } from "./attributes.ts";
import { ElementBytes } from "./element-bytes.ts";
import type { Element, ElementData } from "./model.ts";
import type { SetDefinition } from "./set-definition.ts";
import { successor } from "./span.ts";
import { commentItem, encodeUserData, openInterval, type UserDataItem } from "./userdata.ts";
import { verdictAttributes, verdictInput } from "./verdict.ts";

const nested = 0x8000;
/** NFTA_SET_ELEM_* and NFTA_DATA_*. */
const number = {
  key: 1 | nested,
  data: 2 | nested,
  flags: 3,
  timeout: 4,
  userData: 6,
  object: 9,
  keyEnd: 10 | nested,
  value: 1,
  verdict: 2 | nested,
} as const;

/**
 * Writes elements of one set into NFTA_SET_ELEM_LIST_ELEMENTS; the hot path of every attach, so it goes round the attribute tables.
 * A lone interval takes two entries: its first value, and the value after its last marked as an end.
 */
export class ElementWriter {
  readonly #bytes: ElementBytes;
  readonly #mode: "add" | "delete";

  constructor(set: SetDefinition, mode: "add" | "delete") {
    this.#bytes = new ElementBytes(set);
    this.#mode = mode;
  }

  /** Entries are numbered from `index` on; gives the next number. @throws WireError when the element does not fit its set */
  write(writer: Writer, element: Element, index: number): number {
    const { key, interval } = this.#bytes.set;
    this.#bytes.setKey(element);
    if (!interval) this.#entry(writer, index, { element });
    else if (key.length > 1) this.#entry(writer, index, { element, keyEnd: this.#bytes.to });
    else return this.#interval(writer, index, element);
    return index + 1;
  }

  #interval(writer: Writer, index: number, element: Element): number {
    const end = successor(this.#bytes.to);
    this.#entry(writer, index, { element, open: end === undefined });
    if (end === undefined) return index + 1;
    writeAttribute(writer, (index + 1) | nested, () => {
      writeAttribute(writer, number.flags, () => writer.be32(elementFlags.intervalEnd));
      writeData(writer, number.key, end);
    });
    return index + 2;
  }

  #entry(writer: Writer, index: number, entry: { element: Element; keyEnd?: Uint8Array; open?: boolean }): void {
    const { element } = entry;
    const { lifeMs } = element;
    writeAttribute(writer, index | nested, () => {
      if (lifeMs !== undefined && this.#mode === "add")
        writeAttribute(writer, number.timeout, () => writer.be64(BigInt(Math.ceil(lifeMs))));
      writeData(writer, number.key, this.#bytes.from);
      if (entry.keyEnd !== undefined) writeData(writer, number.keyEnd, entry.keyEnd);
      if (this.#mode === "delete") return;
      const items: UserDataItem[] = [];
      if (element.comment !== undefined) items.push(commentItem(element.comment));
      if (entry.open === true) items.push(openInterval);
      if (element.data !== undefined && !("counter" in element.data)) this.#result(writer, element, element.data);
      if (items.length > 0) writeAttribute(writer, number.userData, () => writer.write(encodeUserData(items)));
      if (element.data !== undefined && "counter" in element.data) this.#object(writer, element, element.data.counter);
      if (element.data === undefined && this.#bytes.set.data !== undefined)
        throw this.#bytes.refuse(element, "it has no value and the set is a map");
    });
  }

  #result(writer: Writer, element: Element, data: Exclude<ElementData, { counter: string }>): void {
    if ("values" in data) {
      this.#bytes.setValues(element, data.values);
      writeData(writer, number.data, this.#bytes.data);
      return;
    }
    if (this.#bytes.set.data !== "verdict") throw this.#bytes.refuse(element, "it gives a verdict and the set does not");
    writeAttribute(writer, number.data, () =>
      writeAttribute(writer, number.verdict, () => verdictAttributes.write(writer, verdictInput(data.verdict))),
    );
  }

  #object(writer: Writer, element: Element, name: string): void {
    if (this.#bytes.set.data !== "counter") throw this.#bytes.refuse(element, "it gives a counter and the set does not");
    writeAttribute(writer, number.object, () => {
      writer.string(name);
      writer.u8(0);
    });
  }
}

function writeData(writer: Writer, type: number, bytes: Uint8Array): void {
  writeAttribute(writer, type, () => writeAttribute(writer, number.value, () => writer.write(bytes)));
}
