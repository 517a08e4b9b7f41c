import { nameFromText, nameToText, readName } from "../dns/name.ts";
import { MessageWriter } from "../dns/writer.ts";
import { bufferOf, type OptionCodec } from "./codecs.ts";

/** RFC 3397: domain names one after another, compressed against those before as in DNS; pointers count from the option's first byte. */
export const searchCodec: OptionCodec<readonly string[]> = {
  decode(data) {
    const names: string[] = [];
    for (let at = 0; at < data.length;) {
      const { name, next } = readName(bufferOf(data), at);
      names.push(nameToText(name));
      at = next;
    }
    return names;
  },
  encode(names) {
    const out = new MessageWriter();
    for (const name of names) out.name(nameFromText(name));
    return out.finish();
  },
};
