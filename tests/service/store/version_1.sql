PRAGMA application_id = 1148547681;
PRAGMA user_version = 1;
PRAGMA foreign_keys = OFF;
BEGIN;
CREATE TABLE executions (
    position INTEGER PRIMARY KEY AUTOINCREMENT,  -- in the order of their starts
    id TEXT NOT NULL UNIQUE,
    arn TEXT NOT NULL,
    function_name TEXT NOT NULL,
    name TEXT NOT NULL,
    function_arn TEXT NOT NULL,
    version TEXT NOT NULL,
    tenant_id TEXT,
    parent_execution TEXT,  -- the id of the one whose chained invoke started it
    parent_operation TEXT,
    started_ms INTEGER NOT NULL,
    era INTEGER NOT NULL,  -- within one, started_ms grows with position; a clock that is put back begins another
    timeout_seconds INTEGER NOT NULL,
    input BLOB,
    input_digest BLOB,

    status TEXT NOT NULL,
    ended_ms INTEGER,
    result BLOB,
    result_digest BLOB,
    error BLOB,
    error_digest BLOB,

    timeout_ms INTEGER NOT NULL,
    event_count INTEGER NOT NULL,
    unseen TEXT NOT NULL,  -- sequences of the operations that the handler has not seen as they are, a JSON array
    request_id TEXT,  -- of the running invocation, as the next three
    invoked_ms INTEGER,
    token TEXT,
    waiting INTEGER,
    invoke_at_ms INTEGER,
    failures INTEGER NOT NULL,
    crashes INTEGER NOT NULL,
    idle_answers INTEGER NOT NULL,
    deferred INTEGER NOT NULL,
    pause_requested_ms INTEGER,
    pause_timeout_ms INTEGER,
    pause_timeout_paused INTEGER,
    pause_reason BLOB,
    due_ms INTEGER,  -- when the service has something to do for it
    active INTEGER NOT NULL,  -- whether a service that starts has

    UNIQUE (function_name, name)
);
CREATE INDEX executions_of_function ON executions (function_name);
CREATE INDEX executions_by_status ON executions (function_name, status);
CREATE INDEX executions_by_start ON executions (era, started_ms);
CREATE INDEX executions_by_end ON executions (ended_ms) WHERE ended_ms IS NOT NULL;
CREATE TABLE operations (
    execution INTEGER NOT NULL REFERENCES executions ON DELETE CASCADE,
    sequence INTEGER NOT NULL,  -- from 0, the EXECUTION operation
    id TEXT NOT NULL,
    type TEXT NOT NULL,
    start_ms INTEGER NOT NULL,
    status TEXT NOT NULL,
    parent_id TEXT,
    name TEXT,
    sub_type TEXT,
    end_ms INTEGER,
    due_ms INTEGER,
    attempts INTEGER NOT NULL,
    replay_children INTEGER NOT NULL,
    duration INTEGER,  -- seconds
    callback_id TEXT,
    heartbeat_seconds INTEGER NOT NULL,
    heartbeat_due_ms INTEGER,
    result BLOB,
    result_digest BLOB,
    error BLOB,
    error_digest BLOB,
    request TEXT,  -- of a chained invoke that runs, JSON
    held TEXT,  -- the outcome of a chained invoke, not yet told, JSON
    PRIMARY KEY (execution, sequence)
) WITHOUT ROWID;
CREATE TABLE events (
    execution INTEGER NOT NULL REFERENCES executions ON DELETE CASCADE,
    id INTEGER NOT NULL,  -- from 1, without gaps
    type TEXT NOT NULL,
    at_ms INTEGER NOT NULL,
    operation_id TEXT,
    name TEXT,
    sub_type TEXT,
    parent_id TEXT,
    details TEXT NOT NULL,  -- JSON, without the member that the next one names
    payload_member TEXT,
    payload_digest BLOB,
    PRIMARY KEY (execution, id)
) WITHOUT ROWID;
CREATE TABLE payloads (
    execution INTEGER NOT NULL REFERENCES executions ON DELETE CASCADE,
    digest BLOB NOT NULL,
    body BLOB NOT NULL,
    PRIMARY KEY (execution, digest)
);
INSERT INTO executions VALUES (1, 'orders-order-1', 'arn:aws:lambda:us-east-1:000000000000:function:orders:$LATEST/durable-execution/order-1/orders-order-1', 'orders', 'order-1', 'arn:aws:lambda:us-east-1:000000000000:function:orders:$LATEST', '$LATEST', NULL, NULL, NULL, 1700000000000, 0, 86400, X'7b226f72646572223a20317d', NULL, 'PAUSING', NULL, NULL, NULL, NULL, NULL, 1731622400000, 7, '[]', 'm1', 1700000000000, 'm6', 0, NULL, 0, 0, 0, 0, 1700000000000, 1700086400000, 1, X'62656361757365', 1700000001000, 1);
INSERT INTO operations VALUES (1, 0, 'orders-order-1', 'EXECUTION', 1700000000000, 'STARTED', NULL, 'order-1', NULL, NULL, NULL, 0, 0, NULL, NULL, 0, NULL, X'7b226f72646572223a20317d', NULL, NULL, NULL, NULL, NULL);
INSERT INTO operations VALUES (1, 1, 's', 'STEP', 1700000000000, 'SUCCEEDED', NULL, NULL, NULL, 1700000000000, NULL, 1, 0, NULL, NULL, 0, NULL, NULL, X'a30f8594f93d1ad9fddab117882126724eb8c05e', NULL, NULL, NULL, NULL);
INSERT INTO operations VALUES (1, 2, 'f', 'STEP', 1700000000000, 'FAILED', NULL, NULL, NULL, 1700000000000, NULL, 1, 0, NULL, NULL, 0, NULL, NULL, NULL, X'7b224572726f7254797065223a224f726465724572726f72222c224572726f724d657373616765223a226e6f2073756368206f72646572227d', NULL, NULL, NULL);
INSERT INTO operations VALUES (1, 3, 'x', 'CONTEXT', 1700000000000, 'STARTED', NULL, NULL, NULL, NULL, NULL, 0, 0, NULL, NULL, 0, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO operations VALUES (1, 4, 'c', 'CALLBACK', 1700000000000, 'STARTED', NULL, NULL, NULL, NULL, 1700000030000, 0, 0, NULL, 'b3JkZXJzLW9yZGVyLTEuNC5tMw==', 10, 1700000010000, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO operations VALUES (1, 5, 'i', 'CHAINED_INVOKE', 1700000000000, 'STARTED', NULL, NULL, NULL, NULL, 1700000001000, 0, 0, NULL, NULL, 0, NULL, NULL, NULL, NULL, NULL, '{"target":{"function_arn":"arn:aws:lambda:us-east-1:000000000000:function:flow:$LATEST","name":"flow","version":"$LATEST","durable":true},"tenant_id":null,"child":{"arn":"arn:aws:lambda:us-east-1:000000000000:function:flow:$LATEST/durable-execution/m4/m5","name":"m4","id":"m5"},"payload":"{}"}', '{"status":"SUCCEEDED","result":"\"yes\"","error":null}');
INSERT INTO operations VALUES (1, 6, 'w', 'WAIT', 1700000000000, 'STARTED', NULL, NULL, NULL, NULL, 1700000060000, 0, 0, 60, NULL, 0, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO events VALUES (1, 1, 'ExecutionStarted', 1700000000000, 'orders-order-1', 'order-1', NULL, NULL, '{"Input":"{\"order\": 1}","ExecutionTimeout":86400}', NULL, NULL);
INSERT INTO events VALUES (1, 2, 'StepSucceeded', 1700000000000, 's', NULL, NULL, NULL, '{"RetryDetails":{"CurrentAttempt":1}}', 'Result', X'a30f8594f93d1ad9fddab117882126724eb8c05e');
INSERT INTO events VALUES (1, 3, 'StepFailed', 1700000000000, 'f', NULL, NULL, NULL, '{"Error":{"ErrorType":"OrderError","ErrorMessage":"no such order"},"RetryDetails":{"CurrentAttempt":1}}', NULL, NULL);
INSERT INTO events VALUES (1, 4, 'ContextStarted', 1700000000000, 'x', NULL, NULL, NULL, '{}', NULL, NULL);
INSERT INTO events VALUES (1, 5, 'CallbackStarted', 1700000000000, 'c', NULL, NULL, NULL, '{"CallbackId":"b3JkZXJzLW9yZGVyLTEuNC5tMw==","Timeout":30,"HeartbeatTimeout":10}', NULL, NULL);
INSERT INTO events VALUES (1, 6, 'ChainedInvokeStarted', 1700000000000, 'i', NULL, NULL, NULL, '{"FunctionName":"flow:$LATEST","Input":"{}","ExecutedVersion":"$LATEST","DurableExecutionArn":"arn:aws:lambda:us-east-1:000000000000:function:flow:$LATEST/durable-execution/m4/m5"}', NULL, NULL);
INSERT INTO events VALUES (1, 7, 'WaitStarted', 1700000000000, 'w', NULL, NULL, NULL, '{"Duration":60,"ScheduledEndTimestamp":1700000060000}', NULL, NULL);
INSERT INTO payloads VALUES (1, X'a30f8594f93d1ad9fddab117882126724eb8c05e', X'726573756c7420726573756c7420726573756c7420726573756c7420726573756c7420726573756c7420726573756c7420726573756c7420726573756c7420726573756c7420726573756c7420726573756c7420726573756c7420726573756c7420726573756c7420726573756c7420726573756c7420726573756c7420726573756c7420726573756c7420726573756c7420726573756c7420726573756c7420726573756c7420726573756c7420726573756c7420726573756c7420726573756c7420726573756c7420726573756c7420726573756c7420726573756c7420726573756c7420726573756c7420726573756c7420726573756c7420726573756c7420726573756c7420726573756c7420726573756c7420726573756c7420726573756c7420726573756c7420726573756c7420726573756c7420726573756c7420726573756c7420726573756c7420726573756c7420726573756c7420726573756c7420726573756c7420726573756c7420726573756c7420726573756c7420726573756c7420726573756c7420726573756c7420726573756c7420726573756c7420726573756c7420726573756c7420726573756c7420726573756c7420726573756c7420726573756c7420726573756c7420726573756c7420726573756c7420726573756c7420726573756c7420726573756c7420726573756c7420726573756c7420726573756c7420726573756c7420726573756c7420726573756c7420726573756c7420726573756c7420726573756c7420726573756c7420726573756c7420726573756c7420726573756c7420726573756c7420726573756c7420726573756c7420726573756c7420726573756c7420726573756c7420726573756c7420726573756c7420726573756c7420726573756c7420726573756c7420726573756c7420726573756c7420726573756c7420726573756c7420');
COMMIT;
