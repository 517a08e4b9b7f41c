/** A link by its index; with the name too, errors can say which one. Every Link is one. */
export type LinkRef = number | { readonly index: number; readonly name: string };

export function linkIndex(link: LinkRef): number {
  return typeof link === "number" ? link : link.index;
}

export function linkText(link: LinkRef): string {
  return typeof link === "number" ? `link ${link}` : link.name;
}
