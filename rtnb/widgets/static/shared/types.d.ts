// Types that the front end's JSDoc comments name: anywidget's contract, and what TypeScript lacks of the browser.

/** A widget's model, as anywidget hands it over. `Traits` are its synced traits, `Message` what Python sends. */
interface WidgetModel<Traits extends object, Message extends object = never> {
  /** Whether the kernel still answers; undefined if the front end does not say. */
  readonly comm_live?: boolean;
  get<Name extends keyof Traits>(name: Name): Traits[Name];
  set<Name extends keyof Traits>(name: Name, value: Traits[Name]): void;
  save_changes(): void;
  send(message: object, callbacks?: object, buffers?: (ArrayBufferLike | ArrayBufferView)[]): void;
  on(event: "msg:custom", handler: (message: Message, buffers: DataView[]) => void): void;
  on(event: string, handler: () => void): void;
  off(event: "msg:custom", handler: (message: Message, buffers: DataView[]) => void): void;
  off(event: string, handler: () => void): void;
}

/** What `initialize` gets. */
interface InitializeProps<Model> {
  model: Model;
}

/** What `render` gets. */
interface RenderProps<Model> {
  model: Model;
  el: HTMLElement;
}

/** Ends what `initialize` or `render` began. */
type Cleanup = () => void;

type AttributeValue = string | number | boolean | null | undefined;

type ElementListeners = {
  [Type in keyof HTMLElementEventMap as `on${Type}`]?: (event: HTMLElementEventMap[Type]) => unknown;
};

/** Attributes of a new element, and listeners such as `onclick`. */
interface ElementAttributes extends ElementListeners {
  [name: string]: AttributeValue | ((event: never) => unknown);
}

// The scope of an AudioWorklet, which lib.dom does not describe.

declare class AudioWorkletProcessor {
  constructor(options?: AudioWorkletNodeOptions);
  readonly port: MessagePort;
}

declare const sampleRate: number;
declare function registerProcessor(
  name: string,
  processor: new (options: AudioWorkletNodeOptions) => AudioWorkletProcessor,
): void;
