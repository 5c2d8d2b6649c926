// The overloads of TMVA's Factory and DataLoader that Python calls; each writes down which of them was taken, and how.
#include <sstream>
#include <string>
#include <vector>

#include "TCut.h"
#include "TFile.h"
#include "TString.h"
#include "TTree.h"

namespace ntupleml_overloads {

std::vector<std::string> calls;

template <typename... Arguments>
void note(const Arguments &...arguments)
{
   std::ostringstream text;
   ((text << arguments << "|"), ...);
   calls.push_back(text.str());
}

struct Tools {
   static Tools &Instance()
   {
      static Tools tools;
      return tools;
   }
};

struct Types {
   enum EMVA { kVariable = 0, kFisher = 7, kTab = 9, kBDT = 12 };
   enum ETreeType { kTraining = 0, kTesting, kMaxTreeType };
};

struct MethodBase {};

class DataLoader {
public:
   DataLoader(TString name = "default") { note("DataLoader", name); }

   void AddVariable(const TString &expression, const TString &, const TString &, char = 'F', double = 0, double = 0)
   {
      note("AddVariable with title", expression);
   }
   void AddVariable(const TString &expression, char type = 'F', double low = 0, double high = 0)
   {
      note("AddVariable", expression, type, low, high);
   }
   void AddTree(TTree *tree, const TString &name, double weight = 1, const TCut &cut = "",
                Types::ETreeType type = Types::kMaxTreeType)
   {
      note("AddTree", tree->GetName(), name, weight, cut.GetTitle(), type);
   }
   void AddTree(TTree *, const TString &name, double, const TCut &, const TString &)
   {
      note("AddTree with type as text", name);
   }
   void SetWeightExpression(const TString &expression, const TString &name = "")
   {
      note("SetWeightExpression", expression, name);
   }
   void PrepareTrainingAndTestTree(const TCut &cut, const TString &options)
   {
      note("Prepare", cut.GetTitle(), options);
   }
   void PrepareTrainingAndTestTree(TCut, TCut, const TString &options) { note("Prepare with two cuts", options); }
   void PrepareTrainingAndTestTree(const TCut &, int, int, int, int, const TString & = "") { note("Prepare 4 numbers"); }
   void PrepareTrainingAndTestTree(const TCut &, int, int, const TString & = "") { note("Prepare 2 numbers"); }
};

class Factory {
public:
   Factory(TString job, TFile *file, TString options = "") { note("Factory", job, file->GetName(), options); }
   Factory(TString, TString = "") { note("Factory without file"); }

   MethodBase *BookMethod(DataLoader *, TString type, TString name, TString options = "")
   {
      note("BookMethod", type, name, options);
      return &fMethod;
   }
   MethodBase *BookMethod(DataLoader *, Types::EMVA type, TString name, TString options = "")
   {
      note("BookMethod by enum", type, name, options);
      return &fMethod;
   }
   MethodBase *BookMethod(DataLoader *, Types::EMVA, TString, TString, Types::EMVA, TString)
   {
      note("BookMethod composite");
      return &fMethod;
   }
   void TrainAllMethods() {}
   void TestAllMethods() {}
   void EvaluateAllMethods() {}
   double GetROCIntegral(DataLoader *, TString name, unsigned int index = 0, Types::ETreeType = Types::kTesting)
   {
      note("GetROCIntegral", name, index);
      return 0.5;
   }
   double GetROCIntegral(TString, TString, unsigned int = 0, Types::ETreeType = Types::kTesting)
   {
      note("GetROCIntegral by texts");
      return 0;
   }

private:
   MethodBase fMethod;
};

} // namespace ntupleml_overloads
