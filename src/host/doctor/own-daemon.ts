import type { Check } from "./report.ts";

/** What an ordinary user can have here, and who gives the rest. */
export const ownDaemon: Check = {
  name: "rights",
  needed: false,
  probe({ user }) {
    const who = user === undefined ? "" : ` of user ${user.uid}`;
    return {
      ok: "ok",
      detail: `a daemon${who}: virtual machines in user mode; networks, nodes and attachments need root's (sudo, or the group nexus)`,
    };
  },
};
