import { defineConfig } from "vite";

export default defineConfig({
  base: "./",
  publicDir: false,
  resolve: { conditions: ["onnxruntime-web-use-extern-wasm", "module", "browser"] },
  build: {
    outDir: "../bitcodec/page/built",
    emptyOutDir: false,
    target: "es2022",
    modulePreload: false,
    rollupOptions: {
      input: { bitcodec: "src/index.ts", page: "src/main.ts", worker: "src/worker.ts" },
      preserveEntrySignatures: "strict",
      output: { entryFileNames: "[name].js", chunkFileNames: "[name].js" },
    },
  },
});
