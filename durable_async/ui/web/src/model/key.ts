// What `durable_async.current_step().idempotency_key` returns to the body of a step.

import { blake2b } from "@noble/hashes/blake2.js";
import { bytesToHex, utf8ToBytes } from "@noble/hashes/utils.js";

export function idempotencyKey(executionArn: string, operationId: string): string {
  return bytesToHex(blake2b(utf8ToBytes(`${executionArn}\n${operationId}`), { dkLen: 32 }));
}
