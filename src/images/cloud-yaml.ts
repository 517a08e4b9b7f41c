import { Document, isScalar, Scalar, visit } from "yaml";

/**
 * A value as YAML 1.1, which cloud-init reads. Text is quoted always: what is text here would be a number, a time or a truth there.
 */
export function cloudYaml(value: unknown): string {
  const document = new Document(value, { version: "1.1", aliasDuplicateObjects: false });
  visit(document, {
    Scalar(key, node) {
      if (!isScalar(node) || typeof node.value !== "string") return;
      if (key !== "key") node.type = isTextBlock(node.value) ? Scalar.BLOCK_LITERAL : Scalar.QUOTE_DOUBLE;
      // Of the words that mean something the library quotes all but =; a key << was merged when the text was read.
      else if (!/^\w[\w.-]*$/.test(node.value)) node.type = Scalar.QUOTE_DOUBLE;
    },
  });
  return document.toString({ lineWidth: 0, doubleQuotedMinMultiLineLength: Number.MAX_SAFE_INTEGER });
}

/** Several lines that read the same as they stand: scripts, files, keys. */
function isTextBlock(text: string): boolean {
  return /^[!-~][\n\t -~]*\n$/.test(text) && !/[ \t]\n/.test(text) && !text.endsWith("\n\n");
}
