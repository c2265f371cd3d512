// What goes over the wire, made by `make types` of the server's structs. Not to be edited.


/** Whatever the server sends, but `UnknownErrorFrame`, whose route and event may be any. */
export type Frame =
  | InitializeChatFrame
  | GeneratingTitleFrame
  | GeneratingReasoningMessageFrame
  | GeneratingResponseMessageFrame
  | CompleteFrame
  | PostThreadErrorFrame
  | GetChatFrame
  | GetChatErrorFrame
  | GetChatsListFrame
  | GetChatsListErrorFrame
  | UpdateChatFrame
  | UpdateChatErrorFrame
  | DeleteChatsFrame
  | DeleteChatsErrorFrame
  | DuplicateChatFrame
  | DuplicateChatErrorFrame
  | UpdateMessageFrame
  | UpdateMessageErrorFrame
  | StopChatErrorFrame
  | ResumedFrame
  | GoingAwayFrame
  | HeartbeatFrame;

/** Whatever a client sends. */
export type Request =
  | PostThreadRequest
  | GetChatRequest
  | GetChatsListRequest
  | UpdateChatRequest
  | DeleteChatsRequest
  | DuplicateChatRequest
  | UpdateMessageRequest
  | StopChatRequest;

export interface PostThreadRequest {
  route: "/chats/post";
  payload: ChatCreateNewChat;
  event?: "postThread" | null;
  id?: string | null;
}

/** What is asked, where and about what. Unknown keys are ignored: older clients send more. */
export interface ChatCreateNewChat {
  prompt?: string | null;
  chat_id?: string | null;
  message_id?: string | null;
  once?: boolean;
  asset_id?: string | null;
  asset_type?: "dashboard" | "dashboard_file" | "metric" | "metric_file" | null;
  metric_id?: string | null;
  dashboard_id?: string | null;
  model?: string | null;
  approvals?: ApprovalAnswer[] | null;
}

/** What the user says to one question of an agent. */
export interface ApprovalAnswer {
  id: string;
  approved: boolean;
  value?: unknown;
}

export interface GetChatRequest {
  route: "/chats/get";
  payload: GetChat;
  event?: "getChat" | null;
  id?: string | null;
}

/** Which chat to get, and which of its messages: all, or the `last` ones, of those `before` one. `message_ids` has all. */
export interface GetChat {
  id: string;
  last?: number | null;
  before?: string | null;
}

export interface GetChatsListRequest {
  route: "/chats/list";
  payload: GetChatsList;
  event?: "getChatsList" | null;
  id?: string | null;
}

/** Which page, counted from 0, how many chats a page has, and which words the chats have. */
export interface GetChatsList {
  page_token?: number;
  page_size?: number;
  query?: string | null;
}

export interface UpdateChatRequest {
  route: "/chats/update";
  payload: UpdateChat;
  event?: "updateChat" | null;
  id?: string | null;
}

/** A chat's new title, and whether it is one of the user's favourites. What is left out stays as it is. */
export interface UpdateChat {
  id: string;
  title?: string | null;
  is_favorited?: boolean | null;
}

export interface DeleteChatsRequest {
  route: "/chats/delete";
  payload: DeleteChats;
  event?: "deleteChats" | null;
  id?: string | null;
}

/** The chats to delete. They are gone for everybody. */
export interface DeleteChats {
  ids: string[];
}

export interface DuplicateChatRequest {
  route: "/chats/duplicate";
  payload: DuplicateChat;
  event?: "duplicateChat" | null;
  id?: string | null;
}

/** The chat to copy, up to and with a message, or all of it. The copy is the user's own. */
export interface DuplicateChat {
  id: string;
  message_id?: string | null;
}

export interface UpdateMessageRequest {
  route: "/messages/update";
  payload: UpdateMessage;
  event?: "updateMessage" | null;
  id?: string | null;
}

/** What the user thinks of a message's answer; null takes it back. */
export interface UpdateMessage {
  id: string;
  feedback: "negative" | "positive" | null;
}

export interface StopChatRequest {
  route: "/chats/stop";
  payload: StopChat;
  event?: "stopChat" | null;
  id?: string | null;
}

/** Which chat's answer to stop, and which of its messages when not the one that is being answered. */
export interface StopChat {
  id: string;
  message_id?: string | null;
}

export interface InitializeChatFrame {
  route: "/chats/post";
  event: "initializeChat";
  payload: ChatWithMessages;
  sent_by: SentBy;
  error: null;
  send_method: "All" | "SenderOnly";
  request_id?: string;
  offset?: number;
}

/** A chat, whole. Times are UTC. */
export interface ChatWithMessages {
  id: string;
  title: string;
  is_favorited: boolean;
  message_ids: string[];
  messages: { [key: string]: ChatMessage };
  created_at: string;
  updated_at: string;
  created_by: string;
  created_by_id: string;
  created_by_name: string;
  created_by_avatar: string | null;
  individual_permissions: null;
  publicly_accessible: boolean;
  public_expiry_date: string | null;
  public_enabled_by: string | null;
  public_password: string | null;
}

/** One turn: the request, the reasoning, the answer. The id lists give the order of the two tables. */
export interface ChatMessage {
  id: string;
  request_message: ChatUserMessage | null;
  response_message_ids: string[];
  response_messages: { [key: string]: TextResponse | FileResponse };
  reasoning_message_ids: string[];
  reasoning_messages: { [key: string]: PillsReasoning | TextReasoning | FilesReasoning };
  created_at: string;
  final_reasoning_message: string | null;
  is_completed: boolean;
  finish_reason: "content_filter" | "failed" | "interrupted" | "length" | "refusal" | "stop" | "stopped" | null;
  usage: Usage | null;
  feedback: "negative" | "positive" | null;
  approvals?: Approval[];
}

/** What the user asked. */
export interface ChatUserMessage {
  request: string;
  sender_id: string;
  sender_name: string;
  sender_avatar: string | null;
}

/** A part of the answer. A delta has only `message_chunk`, the last frame only `message`, the whole text. */
export interface TextResponse {
  type: "text";
  id: string;
  message: string | null;
  message_chunk: string | null;
  is_final_message: boolean;
}

/** An asset that the answer opens. `id` and `version_id` are the asset's id: clients open the file by `id`. */
export interface FileResponse {
  type: "file";
  id: string;
  file_type: string;
  file_name: string;
  version_number: number;
  version_id: string;
  filter_version_id: string | null;
  metadata: FileMetadata[];
}

/** What happened to a file; `timestamp` in Unix seconds. */
export interface FileMetadata {
  status: "completed" | "failed" | "loading";
  message: string;
  timestamp: number;
}

/** A step of the reasoning that found things. */
export interface PillsReasoning {
  type: "pills";
  id: string;
  title: string;
  secondary_title: string | null;
  pill_containers: PillContainer[];
  status: "completed" | "failed" | "loading";
}

/** Pills under one heading. */
export interface PillContainer {
  title: string;
  pills: Pill[];
}

/** One thing that was found: `type` is its asset type, or `url` for a source, which has its address in `url`. */
export interface Pill {
  id: string;
  text: string;
  type: string;
  url?: string;
}

/** A step of the reasoning in words, or a call of a tool; deltas as in `TextResponse`. */
export interface TextReasoning {
  type: "text";
  id: string;
  title: string;
  secondary_title: string | null;
  message: string | null;
  message_chunk: string | null;
  status: "completed" | "failed" | "loading";
  tool?: Tool;
}

/** The tool that a step calls: its name, where the agent says it, and the agent's id of the call. */
export interface Tool {
  name: string | null;
  call_id: string;
}

/** A step of the reasoning that wrote files. */
export interface FilesReasoning {
  type: "files";
  id: string;
  title: string;
  secondary_title: string | null;
  status: "completed" | "failed" | "loading";
  file_ids: string[];
  files: { [key: string]: ReasoningFile };
}

/** One file of a `FilesReasoning`. */
export interface ReasoningFile {
  id: string;
  file_type: string;
  file_name: string;
  version_number: number;
  version_id: string;
  status: "completed" | "failed" | "loading";
  file: FileContent;
}

/** The text of a file that the reasoning wrote; deltas in `text_chunk`. */
export interface FileContent {
  text: string | null;
  text_chunk: string | null;
  modified: [number, number][] | null;
}

/** The tokens that an answer has taken, where the model's server says so. */
export interface Usage {
  model: string;
  input_tokens: number | null;
  output_tokens: number | null;
  reasoning_tokens: number | null;
}

/** A question that an agent waits for, and its answer. `schema` is the JSON Schema of a `value` that may come with it. */
export interface Approval {
  id: string;
  title: string;
  schema: unknown;
  approved: boolean | null;
  value: unknown;
}

/** The user whose request a frame answers. */
export interface SentBy {
  id: string;
  name: string;
}

export interface GeneratingTitleFrame {
  route: "/chats/post";
  event: "generatingTitle";
  payload: GeneratingTitle;
  sent_by: SentBy;
  error: null;
  send_method: "All" | "SenderOnly";
  request_id?: string;
  offset?: number;
}

/** A piece of the title, or, when completed, the whole. */
export interface GeneratingTitle {
  chat_id: string;
  message_id: string;
  title: string | null;
  title_chunk: string | null;
  progress: "completed" | "in_progress";
}

export interface GeneratingReasoningMessageFrame {
  route: "/chats/post";
  event: "generatingReasoningMessage";
  payload: GeneratingReasoningMessage;
  sent_by: SentBy;
  error: null;
  send_method: "All" | "SenderOnly";
  request_id?: string;
  offset?: number;
}

/** A delta or the end of one step of the reasoning. `finished_reasoning` is there when the answer begins after this step. */
export interface GeneratingReasoningMessage {
  reasoning: PillsReasoning | TextReasoning | FilesReasoning;
  chat_id: string;
  message_id: string;
  progress: "completed" | "in_progress";
  finished_reasoning?: true;
}

export interface GeneratingResponseMessageFrame {
  route: "/chats/post";
  event: "generatingResponseMessage";
  payload: GeneratingResponseMessage;
  sent_by: SentBy;
  error: null;
  send_method: "All" | "SenderOnly";
  request_id?: string;
  offset?: number;
}

/** A delta or the end of one part of the answer. */
export interface GeneratingResponseMessage {
  response_message: TextResponse | FileResponse;
  chat_id: string;
  message_id: string;
  progress: "completed" | "in_progress";
}

export interface CompleteFrame {
  route: "/chats/post";
  event: "complete";
  payload: ChatWithMessages;
  sent_by: SentBy;
  error: null;
  send_method: "All" | "SenderOnly";
  request_id?: string;
  offset?: number;
}

export interface PostThreadErrorFrame {
  route: "/chats/post";
  event: "postThread";
  payload: null;
  sent_by: SentBy;
  error: WsError;
  send_method: "All" | "SenderOnly";
  request_id?: string;
  offset?: number;
}

/** The `error` of a frame, and the body of a refused HTTP request. */
export interface WsError {
  code: "BAD_REQUEST" | "UNAUTHORIZED" | "NOT_FOUND" | "TOO_MANY_REQUESTS" | "SERVICE_UNAVAILABLE" | "INTERNAL_SERVER_ERROR";
  message: string;
  retry_after?: number;
}

export interface GetChatFrame {
  route: "/chats/get";
  event: "getChat";
  payload: ChatWithMessages;
  sent_by: SentBy;
  error: null;
  send_method: "SenderOnly";
  request_id?: string;
  offset?: number;
}

export interface GetChatErrorFrame {
  route: "/chats/get";
  event: "getChat";
  payload: null;
  sent_by: SentBy;
  error: WsError;
  send_method: "SenderOnly";
  request_id?: string;
  offset?: number;
}

export interface GetChatsListFrame {
  route: "/chats/list";
  event: "getChatsList";
  payload: ChatListItem[];
  sent_by: SentBy;
  error: null;
  send_method: "SenderOnly";
  request_id?: string;
  offset?: number;
}

/** A chat without its messages: a row of `getChatsList`. `is_favorited` is the reader's own. */
export interface ChatListItem {
  id: string;
  title: string;
  is_favorited: boolean;
  created_at: string;
  updated_at: string;
  last_edited: string;
  created_by: string;
  created_by_id: string;
  created_by_name: string;
  created_by_avatar: string | null;
  latest_file_id: string | null;
  latest_file_type: string | null;
  latest_version_number: number | null;
}

export interface GetChatsListErrorFrame {
  route: "/chats/list";
  event: "getChatsList";
  payload: null;
  sent_by: SentBy;
  error: WsError;
  send_method: "SenderOnly";
  request_id?: string;
  offset?: number;
}

export interface UpdateChatFrame {
  route: "/chats/update";
  event: "updateChat";
  payload: ChatListItem;
  sent_by: SentBy;
  error: null;
  send_method: "All" | "SenderOnly";
  request_id?: string;
  offset?: number;
}

export interface UpdateChatErrorFrame {
  route: "/chats/update";
  event: "updateChat";
  payload: null;
  sent_by: SentBy;
  error: WsError;
  send_method: "All" | "SenderOnly";
  request_id?: string;
  offset?: number;
}

export interface DeleteChatsFrame {
  route: "/chats/delete";
  event: "deleteChats";
  payload: DeletedChats;
  sent_by: SentBy;
  error: null;
  send_method: "All" | "SenderOnly";
  request_id?: string;
  offset?: number;
}

/** The chats that are gone. */
export interface DeletedChats {
  ids: string[];
}

export interface DeleteChatsErrorFrame {
  route: "/chats/delete";
  event: "deleteChats";
  payload: null;
  sent_by: SentBy;
  error: WsError;
  send_method: "All" | "SenderOnly";
  request_id?: string;
  offset?: number;
}

export interface DuplicateChatFrame {
  route: "/chats/duplicate";
  event: "duplicateChat";
  payload: ChatWithMessages;
  sent_by: SentBy;
  error: null;
  send_method: "All" | "SenderOnly";
  request_id?: string;
  offset?: number;
}

export interface DuplicateChatErrorFrame {
  route: "/chats/duplicate";
  event: "duplicateChat";
  payload: null;
  sent_by: SentBy;
  error: WsError;
  send_method: "All" | "SenderOnly";
  request_id?: string;
  offset?: number;
}

export interface UpdateMessageFrame {
  route: "/messages/update";
  event: "updateMessage";
  payload: MessageFeedback;
  sent_by: SentBy;
  error: null;
  send_method: "All" | "SenderOnly";
  request_id?: string;
  offset?: number;
}

/** What a user thinks of a message's answer. */
export interface MessageFeedback {
  chat_id: string;
  message_id: string;
  feedback: "negative" | "positive" | null;
}

export interface UpdateMessageErrorFrame {
  route: "/messages/update";
  event: "updateMessage";
  payload: null;
  sent_by: SentBy;
  error: WsError;
  send_method: "All" | "SenderOnly";
  request_id?: string;
  offset?: number;
}

export interface StopChatErrorFrame {
  route: "/chats/stop";
  event: "stopChat";
  payload: null;
  sent_by: SentBy;
  error: WsError;
  send_method: "SenderOnly";
  request_id?: string;
  offset?: number;
}

export interface UnknownErrorFrame {
  route: string;
  event: string;
  payload: null;
  sent_by: SentBy;
  error: WsError;
  send_method: "SenderOnly";
  request_id?: string;
  offset?: number;
}

export interface ResumedFrame {
  route: "/stream";
  event: "resumed";
  payload: Resumed;
  sent_by: SentBy;
  error: null;
  send_method: "SenderOnly";
}

/** The first frame of a connection that can resume. Not `recovered`: frames are missing, and the chats are to be got. */
export interface Resumed {
  epoch: string;
  offset: number;
  recovered: boolean;
}

export interface GoingAwayFrame {
  route: "/stream";
  event: "goingAway";
  payload: GoingAway;
  sent_by: SentBy;
  error: null;
  send_method: "SenderOnly";
}

/** The server restarts: within `retry_after` seconds the connection is closed with 1012. */
export interface GoingAway {
  retry_after: number;
}

export interface HeartbeatFrame {
  route: "/stream";
  event: "heartbeat";
  payload: Heartbeat;
  sent_by: SentBy;
  error: null;
  send_method: "SenderOnly";
}

/** Nothing else was sent for so many `seconds`. A connection that is silent for twice as long is dead. */
export interface Heartbeat {
  seconds: number;
}

// What the client itself gives and takes

/** What leads from one to the next is in docs/clients.md. */
export type State = "connecting" | "waiting" | "live" | "draining" | "refused" | "closed";

export type Token = string | (() => string | Promise<string>);

/** `url` is the server's base. Without a `WebSocket`, Server-Sent Events are used. `heartbeat`: seconds, at first. */
export interface Options {
  url: string | URL;
  token: Token;
  WebSocket?: typeof globalThis.WebSocket | null;
  heartbeat?: number;
}

/** `messageId` with `chatId` replaces the message, unless it is to be posted `once`; `asset` is what a new chat is about. */
export interface Post {
  prompt?: string;
  asset?: { type: string; id: string };
  chatId?: string;
  messageId?: string;
  model?: string;
  approvals?: { id: string; approved: boolean; value?: unknown }[];
  once?: true;
}

/** Immutable: the same object until something changes. */
export interface Snapshot {
  readonly list: readonly ChatListItem[];
  readonly chats: { readonly [id: string]: ChatWithMessages };
}

export interface Chats {
  subscribe(listener: () => void): () => void;
  getSnapshot(): Snapshot;
  get(id: string): ChatWithMessages | undefined;
  /** Get the chat, and keep it true until `close(id)`. */
  open(id: string): Promise<ChatWithMessages | undefined>;
  close(id: string): void;
  list(page?: { pageToken?: number; pageSize?: number; query?: string }): Promise<any>;
  update(id: string, change: { title?: string; isFavorited?: boolean }): Promise<any>;
  delete(ids: string[]): Promise<any>;
  /** `messageId` is the last message of the copy. */
  duplicate(id: string, messageId?: string): Promise<any>;
  /** `id` is that of a message. */
  feedback(id: string, feedback: "positive" | "negative" | null): Promise<any>;
}
