import { decodeBody, messageType } from "../wire/nftables/message.ts";
import { generationAttributes } from "../wire/nftables/attributes.ts";
import { attributeTable } from "../wire/netlink/attributes.ts";
import { string } from "../wire/netlink/codecs.ts";
import type { NetlinkMessage } from "../wire/netlink/message.ts";
import type { Family } from "../wire/nftables/model.ts";

/** A change of the ruleset that somebody has made. */
export type FirewallEvent = {
  generation: number;
  /** The process, as the kernel saw it, and its name of at most 15 bytes. */
  pid: number;
  comm: string;
  /** The netlink socket it used. */
  portId: number;
  /** Whether that socket is the firewall's own. */
  ours: boolean;
  /** The tables touched, each once; those of families the model has no word for are left out. */
  tables: { family: Family; name: string }[];
};

/** After `lost` changes were missed: read the tables anew. */
export type FirewallHandler = { changed(event: FirewallEvent): void; lost(): void };

/** Every nf_tables notification names its table in attribute 1; the rest is not looked at. */
const tableName = attributeTable({ table: { number: 1, codec: string, meaning: "table" } });

/** Gathers notifications until the one that closes a change (NFT_MSG_NEWGEN), then tells the handler. */
export class FirewallEvents {
  readonly #ownPort: number;
  readonly #handler: FirewallHandler;
  #tables = new Map<string, { family: Family; name: string }>();

  constructor(ownPort: number, handler: FirewallHandler) {
    this.#ownPort = ownPort;
    this.#handler = handler;
  }

  messages(messages: readonly NetlinkMessage[]): void {
    for (const message of messages) {
      if (message.type === messageType.newGeneration) this.#close(message);
      else if (message.type >> 8 === messageType.newTable >> 8) this.#gather(message);
    }
  }

  lost(): void {
    this.#tables.clear();
    this.#handler.lost();
  }

  #gather(message: NetlinkMessage): void {
    const { family, attributes } = decodeBody(tableName, message.body, "firewall event");
    const name = attributes.table;
    if (family !== undefined && name !== undefined) this.#tables.set(`${family} ${name}`, { family, name });
  }

  #close(message: NetlinkMessage): void {
    const { attributes } = decodeBody(generationAttributes, message.body, "firewall event");
    const tables = [...this.#tables.values()];
    this.#tables.clear();
    const { portId } = message;
    this.#handler.changed({
      generation: attributes.id ?? 0,
      pid: attributes.pid ?? 0,
      comm: attributes.comm ?? "",
      portId,
      ours: portId === this.#ownPort,
      tables,
    });
  }
}
