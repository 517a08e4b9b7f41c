import { WireError } from "../../base/errors.ts";
import { paddedLength, type ValueType, writeValue } from "./datatypes.ts";
import type { Element, ElementData, KeyPart } from "./model.ts";
import { dataLength, keyLength, type SetDefinition } from "./set-definition.ts";
import { isPrefix, spanOf } from "./span.ts";

/** Key and value of one element of a set at a time, as the kernel holds them. The buffers are used again for the next element. */
export class ElementBytes {
  readonly set: SetDefinition;
  /** The key, or the first one of a range. */
  readonly from: Uint8Array;
  /** The last key of a range; the same as `from` where there is none. */
  readonly to: Uint8Array;
  readonly data: Uint8Array;

  constructor(set: SetDefinition) {
    this.set = set;
    this.from = new Uint8Array(keyLength(set));
    this.to = new Uint8Array(keyLength(set));
    this.data = new Uint8Array(dataLength(set));
  }

  /** Sets `from` and `to`. @throws WireError when the key does not fit the set */
  setKey(element: Element): void {
    const { key, interval } = this.set;
    if (element.key.length !== key.length) throw this.refuse(element, `its key has ${element.key.length} parts instead of ${key.length}`);
    this.from.fill(0);
    if (interval) this.to.fill(0);
    let at = 0;
    for (let i = 0; i < key.length; i++) {
      const part = element.key[i] as KeyPart;
      const type = key[i] as ValueType;
      if (typeof part !== "object" && !isPrefix(part)) {
        writeValue(this.from, at, part, type);
        if (interval) writeValue(this.to, at, part, type);
      } else {
        if (!interval) throw this.refuse(element, "its key is a range and the set has no intervals");
        const span = spanOf(part, type);
        this.from.set(span.from, at);
        this.to.set(span.to, at);
      }
      at += paddedLength(type);
    }
  }

  /** Sets `data` to what a map of values gives. @throws WireError when the values are not those of the map */
  setValues(element: Element, values: Extract<ElementData, { values: unknown }>["values"]): void {
    const wanted = this.set.data;
    if (typeof wanted !== "object" || wanted.length !== values.length) throw this.refuse(element, "its values are not those of the map");
    this.data.fill(0);
    let at = 0;
    for (let i = 0; i < wanted.length; i++) {
      const type = wanted[i] as ValueType;
      writeValue(this.data, at, values[i] as string | number, type);
      at += paddedLength(type);
    }
  }

  /** Equal for two elements exactly when the kernel takes their keys for the same. @throws WireError */
  identity(element: Element): string {
    this.setKey(element);
    const from = text(this.from);
    return this.set.interval ? from + text(this.to) : from;
  }

  /** Equal for two elements of one key exactly when value and comment are the same to the kernel. @throws WireError */
  content(element: Element): string {
    const { data, comment = "" } = element;
    if (data === undefined) return comment;
    if ("verdict" in data) return `${data.verdict.kind} ${"chain" in data.verdict ? data.verdict.chain : ""} ${comment}`;
    if ("counter" in data) return `${data.counter} ${comment}`;
    this.setValues(element, data.values);
    return text(this.data) + comment;
  }

  refuse(element: Element, problem: string): WireError {
    return new WireError(`element ${JSON.stringify(element.key)} of ${this.set.name}`, problem);
  }
}

function text(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString("latin1");
}
